"""A comparison as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.compare.comparison import Comparison, Pair, Run
from trie.compare.conditions import Setting
from trie.compare.differences import Difference
from trie.metrics.declarations import PER_REQUEST, PER_TRACE, RUN, WORKLOAD
from trie.text import printable

SHOWN = ("mean", "p50", "p90", "p99")  # statistics without --all
HEADLINES = (
    "workload.completion_tok_s.steady_state",
    "workload.completion_tok_s.steady_state_per_gpu",
    "per_trace.ttft_s.p50",
    "per_trace.ttft_s.p99",
    "per_trace.ttfat_s.p50",
    "per_trace.latency_s.p50",
    "per_trace.decode_tps.mean",
    "per_trace.eligible_cache_hit_rate_pct.mean",
)  # of each cell of a sweep
STYLES = {"better": "green", "worse": "red", "differs": "yellow", "noise": "dim"}
WORDS = {"better": "better", "worse": "worse", "differs": "differs", "noise": "within noise", None: ""}
WIDE = 110  # columns from which a metric and its statistic stand side by side
MISSING = "-"
LONGEST = 48  # characters of a setting's value


def render(comparison: Comparison, console: Console, *, everything: bool = False) -> None:
    """Print a comparison; fits 80 columns, and holds no control sequences of anybody else's."""
    for label, path in comparison.inputs.items():
        role = "baseline" if label == "A" else "candidate"
        _line(console, f"{label}  {path}", f" ({role})")
    if "" in comparison.cells:
        for pair in comparison.pairs:
            console.print()
            _pair(console, pair, comparison.settings.confidence, everything=everything)
    else:
        _cells(console, comparison)
    for line in comparison.alone:
        _line(console, f"passed over: {line}")
    _gates(console, comparison)


def _line(console: Console, said: str, more: str = "", style: str = "") -> None:
    text = printable(said + more).encode(console.encoding, "replace").decode(console.encoding)
    console.print(Text(text, style=style), soft_wrap=True)


def _pair(console: Console, pair: Pair, confidence: float, *, everything: bool) -> None:
    for run in (pair.baseline, pair.candidate):
        _line(console, f"{run.label}  {facts_of(run)}")
    _conditions(console, pair)
    for title, rows in sections(pair, everything=everything):
        console.print()
        console.print(Text(title, style="bold"))
        named = [(found.of.label, found.of.statistic, found) for found in rows]
        labels = pair.baseline.label, pair.candidate.label
        console.print(_table(named, labels, narrow=console.width < WIDE))
    _line(console, method(pair, confidence))


def facts_of(run: Run) -> str:
    """What was run, in one line."""
    manifest = run.manifest
    config, server = manifest["config"], manifest["server"]
    where = "embedded endpoint" if server["embedded"] else server["base_url"]
    verdict = "VALID" if run.summary["valid"] else "INVALID"
    traces = run.summary["traces"]
    return (
        f"{manifest['workload']['name']}, concurrency {config['concurrency']['value']}, {where}, model "
        f"{server['model']}, {run.summary['wall_time_s']:.0f} s, {traces['completed']} traces completed, {verdict}"
    )


def method(pair: Pair, confidence: float) -> str:
    """How the intervals came about, in one line."""
    if pair.paired is None:
        return "no intervals: a run has no rows (requests/)"
    drawn = f"{pair.paired} traces that both replayed drawn together" if pair.paired else "runs drawn apart"
    return f"intervals: {confidence:.0%}, bootstrap over traces, {drawn}; of one run each, so not run to run"


def _conditions(console: Console, pair: Pair) -> None:
    for doubt in pair.doubts:
        _line(console, f"warning: {doubt.what}: {doubt.found}; {doubt.advice}", style="yellow")
    for word, found in (("setting", pair.settings), ("also", pair.facts)):
        for setting in found:
            _line(console, f"{word}: {said_of(setting)}")


def said_of(setting: Setting) -> str:
    """A setting with its two values."""
    return f"{setting.key}: {value_of(setting.baseline)} -> {value_of(setting.candidate)}"


def value_of(value: Any) -> str:
    """A setting's value, shortened."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def sections(pair: Pair, *, everything: bool) -> Iterator[tuple[str, list[Difference]]]:
    """The differences as a report groups them; without `everything` the statistics and facts that people read."""
    declared = {metric.key for metric in RUN}
    groups = {
        "Per-trace metrics": [f"per_trace.{metric.key}." for metric in PER_TRACE],
        "Workload metrics": [f"workload.{metric.key}." for metric in WORKLOAD],
        "Per-request metrics": [f"per_request.{metric.key}." for metric in PER_REQUEST],
        "The run": [""],
    }
    left = pair.differences
    for title, prefixes in groups.items():
        rows = [found for found in left if found.of.key.startswith(tuple(prefixes))]
        left = [found for found in left if found not in rows]
        if not everything:
            run = title == "The run"
            rows = [found for found in rows if (_matters(found, declared) if run else _shown(found))]
        rows = [found for found in rows if (found.baseline, found.candidate) != (None, None)]
        if rows:
            yield title, rows


def _shown(found: Difference) -> bool:
    name = found.of.key.rpartition(".")[2]
    return name in SHOWN or name in ("overall", "steady_state", "steady_state_per_gpu")


def _matters(found: Difference, declared: set[str]) -> bool:
    """Declared or counted, and not the same in both."""
    known = found.of.unit != "" or found.of.better is not None or found.of.key in declared
    return known and found.change != 0


def _table(rows: Sequence[tuple[str, str, Difference]], labels: tuple[str, str], *, narrow: bool) -> Table:
    """Differences, each under a name and a second one; where there is little room the first has a line of its own."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False)
    for name in ("", *(() if narrow else ("",))):
        table.add_column(name, overflow="fold")
    for name in (*labels, "change", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    above = None
    for group, name, found in rows:
        words = Text(WORDS[found.verdict], style=STYLES.get(found.verdict or "", ""))
        if not narrow:
            table.add_row(printable(group) if group != above else "", printable(name), *cells(found), words)
        elif not name:
            table.add_row(printable(group), *cells(found), words)
        else:
            if group != above:
                table.add_row(printable(group))
            table.add_row(f"  {printable(name)}", *cells(found), words)
        above = group
    return table


def cells(found: Difference) -> tuple[str, str, str, str]:
    """Baseline, candidate, change and interval of a difference, as people read them."""
    return number(found.baseline), number(found.candidate), change_of(found), interval_of(found)


def change_of(found: Difference) -> str:
    """Relative where there is a baseline to relate to, else absolute."""
    if found.change == 0:
        return "0"
    if found.relative is not None:
        return f"{percent(found.relative)} %"
    return MISSING if found.change is None else number(found.change, sign=True)


def interval_of(found: Difference) -> str:
    """The interval of what `change_of` says."""
    if found.low is None or found.high is None:
        return MISSING
    if found.relative is None or found.relative_low is None or found.relative_high is None:
        return f"{number(found.low, sign=True)} to {number(found.high, sign=True)}"
    return f"{percent(found.relative_low)} to {percent(found.relative_high)} %"


def percent(share: float) -> str:
    """A signed percentage without its unit; what rounds to 0 has no sign."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def number(value: float | None, *, sign: bool = False) -> str:
    """A figure with four digits that count."""
    if value is None:
        return MISSING
    plus = "+" if sign else ""
    if value == 0 or abs(value) >= 1000:
        return f"{value:{plus},.0f}"
    return f"{value:{plus}#.4g}"


def _cells(console: Console, comparison: Comparison) -> None:
    """The headline numbers, each with one row for each cell."""
    said = dict.fromkeys(
        (pair.candidate.label, doubt.what, doubt.found, doubt.advice)
        for pair in comparison.pairs
        for doubt in pair.doubts
        if doubt.what != "length"
    )
    for label, *words in said:
        _line(console, f"warning: {label}: {'; '.join(words)}", style="yellow")
    for setting in dict.fromkeys(said_of(setting) for pair in comparison.pairs for setting in pair.settings):
        _line(console, f"setting: {setting}")
    rows = [row for key in HEADLINES for row in _rows(comparison.cells.items(), key)]
    if rows:
        console.print()
        console.print(_table(rows, ("baseline", "candidate"), narrow=console.width < WIDE))
        _line(console, method(comparison.pairs[0], comparison.settings.confidence))


def _rows(cells: Iterable[tuple[str, list[Pair]]], key: str) -> Iterator[tuple[str, str, Difference]]:
    for name, pairs in cells:
        for pair in pairs:
            for found in pair.differences:
                if found.of.key == key and (found.baseline, found.candidate) != (None, None):
                    several = f" {pair.candidate.label}" if len(pairs) > 1 else ""
                    yield f"{found.of.label} {found.of.statistic}", f"{name}{several}", found


def _gates(console: Console, comparison: Comparison) -> None:
    if any(pair.gates for pair in comparison.pairs):
        console.print()
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            for judged in pair.gates:
                word, style = ("FAILED", "bold red") if judged.failed else ("passed", "green")
                where = f"{name} {pair.candidate.label}".strip()
                _line(console, f"gate {word}: {judged.gate.text} ({where}: {judged.said})", style=style)
