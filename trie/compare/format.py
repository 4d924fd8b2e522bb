"""How a comparison is said: figures, settings and groups, the same on a terminal and on a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trie.compare.comparison import Pair, Run
from trie.compare.config_diff import Setting
from trie.compare.differences import Difference
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, RUN, WORKLOAD
from trie.report.number_format import MISSING

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
WORDS = {"better": "better", "worse": "worse", "differs": "differs", "noise": "within noise", None: ""}
LONGEST = 48  # characters of a setting's value


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
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:{plus},.0f}"
    return f"{value:{plus}#.4g}"
