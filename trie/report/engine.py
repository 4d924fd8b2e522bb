"""The engine's own account of a run, beside the rows': lines for the terminal, a table for the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from trie.engines import catalog
from trie.metrics.definitions import RUN, declared
from trie.metrics.sections import EngineAccount
from trie.report.html.blocks import Cell, Column, Table, Value
from trie.report.number_format import MISSING, short

COUNTED = "engine.counted."  # before the keys of what is compared with the rows
NOTE = (
    "Counters of the engine over the run against the rows that ended well, TTFT against all that got a first token. "
    "Differences of times are the client's less the engine's: network, HTTP server and client; those of counts the "
    "engine's less the rows'."
)


def engine_lines(engine: EngineAccount) -> Iterator[str]:
    """One line of what was counted, and one of what the engine counted beside the rows."""
    counted, rows = engine.counted, engine.rows
    if engine.disbelieved is not None:
        yield f"{named(engine)}: its counters hold less than its answers and are not believed"
        return
    figures = [
        f"{_count(counted.prompt_tokens)} prompt tokens (rows: {_count(rows.prompt_tokens)})",
        f"{_percent(counted.hit_rate_pct)} cached (rows {_percent(rows.hit_rate_pct)})",
        f"{_count(counted.completion_tokens)} completion tokens (rows: {_count(rows.completion_tokens)})",
    ]
    if counted.preemptions is not None:
        figures.append(f"{_count(counted.preemptions)} preemptions")
    if counted.queue_s is not None:
        figures.append(f"queue {_ms(counted.queue_s)} mean")
    if counted.ttft_s is not None:
        figures.append(f"TTFT {_ms(counted.ttft_s)} (client {_ms(rows.ttft_s)})")
    yield f"{named(engine)} counted {', '.join(figures)}"
    if not engine.comparable:
        yield f"beside these rows it may have counted {beside(engine)}"


def named(engine: EngineAccount) -> str:
    """The engine, its version, and how many of it there are."""
    several = f", {engine.engines} engines," if engine.engines > 1 else ""
    declared = catalog.of_metrics_prefix(engine.name)
    name = engine.name if declared is None else declared.name
    return f"{' '.join(filter(None, (name, engine.version)))}{several}"


def beside(engine: EngineAccount) -> str:
    """What the rows' sums hold nothing of."""
    counts = asdict(engine.beside_rows).items()
    return ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in counts if number) + " requests"


def engine_table(engine: EngineAccount) -> Table:
    """Each figure of the engine, that of the rows, and the difference."""
    cells: list[list[Value]] = []
    for metric in declared(RUN):
        key = metric.key.removeprefix(COUNTED)
        if key == metric.key or getattr(engine.counted, key) is None:
            continue
        values = [getattr(part, key, None) for part in (engine.counted, engine.rows, engine.difference)]
        (number,) = metric.numbers()
        name = Cell(metric.name, help=metric.definition)
        cells.append([name, metric.display.unit, *map(number.shown, values)])
    more = "" if engine.comparable else f" Beside the rows' it may have counted {beside(engine)}."
    return Table(
        caption=f"What {named(engine)} counted",
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
