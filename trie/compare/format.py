"""Figures, settings and groups of a comparison as people read them, the same on a terminal and on a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trie.compare import population
from trie.compare.comparison import Pair
from trie.compare.config_diff import Setting
from trie.compare.differences import Difference, Settings
from trie.compare.runs import Run
from trie.metrics.definitions import RUN, SECTIONS, Section, headlines
from trie.report.labels import load_name
from trie.report.number_format import MISSING

WORDS = {
    "better": "better",
    "worse": "worse",
    "differs": "differs",
    "equivalent": "equivalent",
    "higher": "higher",
    "lower": "lower",
    "noise": "within noise",
    None: "",
}
OF_THIS_PAIR = "one run a side: higher and lower hold for this pair; better and worse take runs repeated on both sides"
TOO_SHORT = "a run is too short for them, or completed too few traces (docs/compare.md)"
LONGEST = 48  # characters of a setting's value


def facts_of(run: Run) -> str:
    """What was run, in one line."""
    manifest, summary, server = run.manifest, run.summary, run.manifest.server
    where = "embedded endpoint" if server.embedded else server.base_url
    if manifest.settings.clock == "virtual":
        where = "virtual time (no server was measured)"
    verdict = "VALID" if summary.valid else "INVALID"
    return (
        f"{manifest.workload.name}, {load_name(manifest.settings)}, {where}, model "
        f"{server.model}, {summary.wall_time_s:.0f} s, {summary.traces['completed']} traces completed, {verdict}"
    )


def method(pair: Pair, confidence: float) -> str:
    """How the intervals came about, in one line."""
    how = f"{pair.paired} traces compared one by one" if pair.paired else "runs apart"
    if pair.repeated:
        a, b = len(pair.baseline.runs), len(pair.candidate.runs)
        return f"intervals: {confidence:.0%}, from run to run of {a} and {b} runs and within them, {how}"
    if pair.paired is None:
        return "no intervals: a run has no rows (requests/)"
    if all(difference.bounds is None for difference in pair.differences):
        return f"no intervals: {TOO_SHORT}"
    return f"intervals: {confidence:.0%}, of what varies within a run, {how}; {OF_THIS_PAIR}"


def notes(pair: Pair, settings: Settings) -> list[str]:
    """What stands below the numbers: how their intervals came about, and what these can't show."""
    return [line for line in (method(pair, settings.confidence), _seen(pair, settings)) if line]


def _seen(pair: Pair, settings: Settings) -> str:
    """Which differences of the headline numbers these runs would show, in one line; empty where that is not known."""
    least = {
        difference.of.titled: difference.relative_detectable
        for difference in pair.shown
        if difference.of.key in headline_keys() and difference.relative_detectable
    }
    if not least:
        return ""
    of_each = ", ".join(f"{title} {_share(share)} %" for title, share in least.items())
    within = "" if settings.margin is None else f"; equivalent: within {100 * settings.margin:g} %"
    return (
        f"differences under these shares can't be seen with these runs (found in fewer than 4 of 5): {of_each}{within}"
    )


def title_of_number(difference: Difference) -> str:
    """What a number is called where those of the run and estimates for the whole workload stand in one list."""
    number = difference.of.number
    whole = number is not None and number.metric.section is population.SECTION
    return f"{difference.of.titled}, whole workload" if whole else difference.of.titled


def setting_line(setting: Setting) -> str:
    """A setting with its two values."""
    return f"{setting.key}: {value_of(setting.baseline)} -> {value_of(setting.candidate)}"


def value_of(value: Any) -> str:
    """A setting's value, shortened."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def headline_keys() -> list[str]:
    """The numbers of each cell of a sweep that a report shows first."""
    return [*population.HEADLINE_KEYS, *(number.key for number in headlines("compare"))]


def sections(pair: Pair, *, everything: bool) -> Iterator[tuple[str, list[Difference]]]:
    """The differences as a report groups them; without `everything` the statistics and facts that people read."""
    for section in (population.SECTION, *SECTIONS):
        rows = [difference for difference in pair.shown if _section(difference) is section]
        if not everything:
            rows = [difference for difference in rows if _matters(difference)]
        if rows := [difference for difference in rows if difference.measured]:
            yield section.title, rows


def _section(difference: Difference) -> Section:
    """Where a number stands; what is not declared is a fact of the run."""
    return difference.of.number.metric.section if difference.of.number else RUN


def _matters(difference: Difference) -> bool:
    """Of the run what is declared and not the same in both, of other sections the statistics that people read."""
    number = difference.of.number
    if number is None:
        return False
    if number.metric.section is RUN:
        return difference.change != 0
    return number.part is None or number.part.brief


def cells(difference: Difference) -> tuple[str, str, str, str]:
    """Baseline, candidate, change and interval of a difference, as people read them."""
    baseline, candidate = map(difference.of.shown, (difference.baseline, difference.candidate))
    return number(baseline), number(candidate), change_of(difference), interval_of(difference)


def change_of(difference: Difference) -> str:
    """Relative where there is a baseline to relate to, else absolute."""
    if difference.change == 0:
        return "0"
    if difference.relative is not None:
        return f"{percent(difference.relative)} %"
    return number(difference.of.shown(difference.change), sign=True)


def interval_of(difference: Difference) -> str:
    """The interval of what `change_of` says."""
    low, high = map(difference.of.shown, (difference.low, difference.high))
    if low is None or high is None:
        return MISSING
    if difference.relative is None or difference.relative_low is None or difference.relative_high is None:
        return f"{number(low, sign=True)} to {number(high, sign=True)}"
    return f"{percent(difference.relative_low)} to {percent(difference.relative_high)} %"


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


def _share(share: float) -> str:
    """In percent, with two digits, or whole where there are more before the point."""
    return f"{100 * share:.0f}" if share >= 1 else f"{100 * share:.2g}"
