"""The engine's own account of a run, beside the rows': lines for the terminal, a table for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.engines import catalog
from trie.report.html.blocks import Column, Table, Value
from trie.report.number_format import MISSING, short

LABELS = {
    "prompt_tokens": ("prompt tokens", "tokens"),
    "cached_tokens": ("of them cached", "tokens"),
    "completion_tokens": ("completion tokens", "tokens"),
    "requests": ("requests", "requests"),
    "preemptions": ("preemptions", "preemptions"),
    "queue_s": ("queue, mean", "s"),
    "ttft_s": ("TTFT, mean", "s"),
    "itl_s": ("between tokens, mean", "s"),
    "e2e_s": ("latency, mean", "s"),
}
NOTE = (
    "Counters of the engine over the run against the rows that ended well, TTFT against all that got a first token. "
    "Differences of times are the client's less the engine's: network, HTTP server and client; those of counts the "
    "engine's less the rows'."
)


def engine_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """One line of what was counted, and one of what the engine counted beside the rows."""
    counted, rows = found["counted"], found["rows"]
    said = [
        f"{_count(counted['prompt_tokens'])} prompt tokens (rows: {_count(rows['prompt_tokens'])})",
        f"{_percent(counted['hit_rate_pct'])} cached (rows {_percent(rows['hit_rate_pct'])})",
        f"{_count(counted['completion_tokens'])} completion tokens (rows: {_count(rows['completion_tokens'])})",
    ]
    if counted["preemptions"] is not None:
        said.append(f"{_count(counted['preemptions'])} preemptions")
    if counted["queue_s"] is not None:
        said.append(f"queue {_ms(counted['queue_s'])} mean")
    if counted["ttft_s"] is not None:
        said.append(f"TTFT {_ms(counted['ttft_s'])} (client {_ms(rows['ttft_s'])})")
    yield f"{named(found)} counted {', '.join(said)}"
    if not found["comparable"]:
        yield f"beside these rows it may have counted {beside(found)}"


def named(found: Mapping[str, Any]) -> str:
    """The engine, its version, and how many of it there are."""
    several = f", {found['engines']} engines," if found["engines"] > 1 else ""
    engine = catalog.of_metrics_prefix(found["name"])
    name = found["name"] if engine is None else engine.name
    return f"{' '.join(filter(None, (name, found['version'])))}{several}"


def beside(found: Mapping[str, Any]) -> str:
    """What the rows' sums hold nothing of."""
    counts = found["beside_rows"].items()
    return ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in counts if number) + " requests"


def engine_table(found: Mapping[str, Any]) -> Table:
    """Each figure of the engine, that of the rows, and the difference."""
    counted, rows, difference = found["counted"], found["rows"], found["difference"]
    cells: list[list[Value]] = [
        [label, unit, counted[key], rows.get(key), difference[key]]
        for key, (label, unit) in LABELS.items()
        if counted[key] is not None
    ]
    more = "" if found["comparable"] else f" Beside the rows' it may have counted {beside(found)}."
    return Table(
        caption=f"What {named(found)} counted",
        columns=[Column("Figure"), Column("Unit"), Column("Engine"), Column("Rows"), Column("Difference")],
        rows=cells,
        wide=False,
        note=NOTE + more,
    )


def _count(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return f"{short(value)} %"


def _ms(value: float | None) -> str:
    return f"{short(None if value is None else value * 1e3)} ms"
