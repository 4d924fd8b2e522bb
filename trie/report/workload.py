"""A workload in the terminal and on a page: its numbers, and what it will ask of a server's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.one_line import lasting
from trie.report.html.channels import quoted, zoomable
from trie.report.html.document import Card, Cards, Column, Note, Page, Section
from trie.report.html.document import Table as PageTable
from trie.report.html.plot import Plot, Values
from trie.report.html.theme import BLUE, GREEN, LOG_TICKS, SHORT_TICKS
from trie.report.number_format import percent, short
from trie.report.terminal import print_lines
from trie.workload.cache_demand import KNEE, MOST_CONCURRENT, Demand
from trie.workload.cache_demand import to_json as demand_to_json
from trie.workload.describe import Description, Quantity

COLUMNS = ("mean", "p50", "p90", "p99", "max")
BINS = 30
BARS, ASCII_BARS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
CAVEAT = (
    "Estimated from a closed loop on paper: one prompt after the other is computed, answers come at a fixed speed, and "
    "the least recently used tokens leave the cache first. An engine that keeps running requests in the same memory "
    "needs more. Where the hit rate rises steeply, a little more or less of anything moves it a lot."
)


class Shown(NamedTuple):
    """What is shown of a workload, and what was asked about it."""

    description: Description
    demand: Demand
    cache_tokens: int | None = None
    hit_rate: float | None = None  # with a cache of that size
    knee: int | None = None  # the most active traces that it is enough for
    deadline_s: float | None = None


def to_json(shown: Shown) -> dict[str, Any]:
    """The numbers as plain values."""
    cut_off = None if shown.deadline_s is None else shown.demand.whole.cut_off(shown.deadline_s)
    asked = {
        "cache_tokens": shown.cache_tokens,
        "hit_rate": shown.hit_rate,
        "knee_concurrency": shown.knee,
        "deadline_s": shown.deadline_s,
        "cut_off_share": cut_off,
    }
    return {**shown.description.to_json(), "cache": {**demand_to_json(shown.demand), **asked}}


def render(shown: Shown, console: Console) -> None:
    """Print the tables; fits 80 columns."""
    about = shown.description
    print_lines(console, head(about))
    console.print()
    console.print(_table(about.quantities))
    console.print()
    print_lines(console, tokens(about))
    console.print()
    console.print(Text("Distributions, from the least value to the greatest", style="bold"))
    console.print(_distributions(about.quantities, console))
    console.print()
    console.print(Text(f"Cache, with {shown.demand.concurrency} active traces", style="bold"))
    print_lines(console, cache(shown))
    console.print(_curve_table(shown.demand, console))
    console.print(Text(CAVEAT, style="dim"))


def head(about: Description) -> Iterator[tuple[str, str]]:
    """What it is."""
    kind = " (a synthetic stand-in, not the recorded traces)" if about.synthetic else ""
    yield "workload", f"{about.name}: {about.traces:,} traces, {about.requests:,} requests{kind}"
    yield "source", about.source
    parts = (
        (about.subagents, "sub-agents"),
        (about.context_resets, "resets of the context"),
        (about.shared_prefixes, "shared prefixes"),
        (about.reasoning_tokens, "tokens of reasoning that do not go back"),
    )
    if any(count for count, _ in parts):
        yield "with", ", ".join(f"{count:,} {name}" for count, name in parts if count)


def tokens(about: Description) -> Iterator[tuple[str, str]]:
    """How much of it repeats."""
    yield "ideal hit", f"{percent(about.ideal_hit_rate, 2)} of the prompt tokens could come from a cache of any size"
    ratio, new = about.prompt_per_completion, about.new_prompt_per_completion
    yield "tokens", f"{ratio:.1f} prompt tokens for each completion token, {new:.2f} of them new"


def cache(shown: Shown) -> Iterator[tuple[str, str]]:
    """What it will ask of a cache, in sentences."""
    demand = shown.demand
    held, count = demand.whole.held, f"{demand.concurrency:,} active traces"
    yield "held", f"{count} hold {_tokens(held.p95)} at p95 (mean {_tokens(held.mean)}, at most {_tokens(held.max)})"
    if not demand.whole.hit_rate:
        yield "knee", "no request repeats what an earlier one of its trace had: no cache helps"
    else:
        yield "knee", f"{_tokens(demand.knee_tokens)} of cache give {KNEE:.0%} of the ideal hit rate"
    if shown.cache_tokens is not None and demand.whole.hit_rate:
        rates = f"{percent(shown.hit_rate)}, of {percent(demand.whole.hit_rate)} with a cache of any size"
        yield "cache", f"with {_tokens(shown.cache_tokens)} of cache expect a hit rate of {rates}; {_knee(shown.knee)}"
    yield "pace", _pace(demand)
    if shown.deadline_s is not None:
        share = demand.whole.cut_off(shown.deadline_s)
        yield "deadline", f"after {lasting(shown.deadline_s)}, {percent(share, 0)} of the traces begun are cut off"


def _knee(concurrency: int | None) -> str:
    if not concurrency:
        return "one active trace is too many"
    if concurrency == MOST_CONCURRENT:
        return f"{MOST_CONCURRENT:,} active traces are not too many"
    return f"more than {concurrency:,} active traces are too many"


def _pace(demand: Demand) -> str:
    pace, whole = demand.pace, demand.whole
    more_ms = pace.step_per_request_s * 1e3
    per_request = f", {more_ms:g} ms more for each further request" if more_ms else ""
    return (
        f"{demand.traces:,} traces begin in {lasting(whole.duration_s)}, at an assumed {pace.prompt_tok_s:,.0f} "
        f"new prompt tokens per second and {pace.answer_step_s * 1e3:g} ms for a token of an answer{per_request}"
    )


def _tokens(count: float) -> str:
    return f"{count / 1e6:,.2f} M tokens" if count >= 1e6 else f"{count:,.0f} tokens"


def _table(quantities: Sequence[Quantity]) -> Table:
    table = Table(box=HEAVY_HEAD, header_style="bold", padding=(0, 1))
    table.add_column("Quantity")
    for name in (*COLUMNS, "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for quantity in quantities:
        values = quantity.statistics
        cells = (short(getattr(values, name)) for name in COLUMNS)
        table.add_row(_heading(quantity), *cells, f"{values.count:,}")
    return table


def _distributions(quantities: Sequence[Quantity], console: Console) -> Table:
    """A line each: the least value, how often the values of each bin are, the greatest."""
    grid = Table.grid(padding=(0, 1))
    for _ in range(4):
        grid.add_column(no_wrap=True, overflow="crop")  # an ellipsis is no ASCII
    for quantity in quantities:
        _, _, counts = bins(quantity)
        values = quantity.values
        ends = (short(float(values.min())), short(float(values.max()))) if len(values) else ("no", "values")
        grid.add_row(_heading(quantity), ends[0], _bars(counts, console), ends[1])
    return grid


def _heading(quantity: Quantity) -> str:
    return f"{quantity.title} ({quantity.unit})" if quantity.unit else quantity.title


def bins(quantity: Quantity) -> tuple[Values, Values, Values]:
    """Lower ends, upper ends and counts of a histogram whose bins grow with the values."""
    values = quantity.values
    if not len(values):
        return [], [], []
    least = max(float(values.min()), 1e-3 if quantity.unit == "s" else 1.0)
    edges = np.geomspace(least, max(float(values.max()), least * 1.001), BINS + 1)
    edges[0] = min(float(values.min()), least)
    counts, edges = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return edges[:-1], edges[1:], counts


def _bars(counts: Values, console: Console) -> str:
    bars = BARS if _writes(console, BARS) else ASCII_BARS
    most = max(counts, default=0)
    return "".join(bars[-(-8 * int(count) // int(most))] for count in counts)


def _writes(console: Console, text: str) -> bool:
    return text.encode(console.encoding, "replace").decode(console.encoding) == text


def _curve_table(demand: Demand, console: Console) -> Table:
    bar = "█" if _writes(console, "█") else "#"
    table = Table(box=HEAVY_HEAD, header_style="bold", padding=(0, 1))
    table.add_column("cache (tokens)", justify="right")
    table.add_column("expected hit rate", justify="right")
    table.add_column("")
    for size, rate in demand.curve[1:]:
        table.add_row(f"{size:,}", percent(rate), bar * round(30 * rate))
    return table


def page(shown: Shown) -> Page:
    """The same with plots."""
    about, demand = shown.description, shown.demand
    columns = [Column("Quantity"), Column("Unit"), *(Column(name) for name in COLUMNS), Column("n")]
    rows = [
        [quantity.title, quantity.unit or "-", *(getattr(values, name) for name in COLUMNS), values.count]
        for quantity in about.quantities
        for values in [quantity.statistics]
    ]
    cards = [
        Card("Traces", about.traces, detail=f"{about.requests:,} requests"),
        Card("Ideal hit rate", percent(about.ideal_hit_rate, 2), detail="a cache of any size"),
        Card("Prompt : completion", about.prompt_per_completion, detail=f"{about.new_prompt_per_completion:.2f} new"),
        Card("KV held, p95", demand.whole.held.p95, "tokens", f"{demand.concurrency} active traces"),
        Card("Cache at the knee", demand.knee_tokens, "tokens", f"{KNEE:.0%} of the ideal hit rate"),
    ]
    sentences = [Note(f"{sentence[0].upper()}{sentence[1:]}.") for _, sentence in cache(shown)]
    return Page(
        title=f"Workload {about.name}",
        subtitle=f"{about.traces:,} traces: {about.source}",
        blocks=[
            Cards(cards),
            Section("Lengths and waits", [PageTable(caption="Quantities", columns=columns, rows=rows)]),
            Section("Distributions", [_histogram(quantity) for quantity in about.quantities if len(quantity.values)]),
            Section("Cache", [*sentences, _curve(demand)], intro=CAVEAT),
        ],
    )


def _histogram(quantity: Quantity) -> Plot:
    low, high, counts = bins(quantity)
    heading = _heading(quantity)
    ends = [float(low[0]), float(high[-1])]
    kind = {"type": "log"} if ends[0] > 0 else {"type": "symlog", "constant": 0.01 if quantity.unit == "s" else 1}
    scale = {**kind, "domain": ends, "nice": False}
    ticks = LOG_TICKS if ends[0] > 0 else SHORT_TICKS
    x = {"field": "low", "type": "quantitative", "title": heading, "scale": scale, "axis": {**ticks}}
    return Plot(
        key=quantity.key.replace("_", "-"),
        title=quantity.title.capitalize(),
        caption=f"{len(quantity.values):,} values in bins that grow with them.",
        data={"rows": {"low": low, "high": high, "count": counts}},
        labels={"low": f"from {heading}", "high": f"to {heading}", "count": "Count"},
        spec={
            "mark": {"type": "rect", "color": BLUE},
            "encoding": {
                "x": x,
                "x2": {"field": "high"},
                "y": {"field": "count", "type": "quantitative", "title": "count"},
                "y2": {"datum": 0},
                "tooltip": [
                    quoted("low", "from", ",.4~g"),
                    quoted("high", "to", ",.4~g"),
                    quoted("count", "count", ","),
                ],
            },
        },
    )


def _curve(demand: Demand) -> Plot:
    sizes, rates = zip(*demand.curve, strict=True)
    x = zoomable("x", field="size", type="quantitative", title="cache (tokens)", axis={**SHORT_TICKS})
    y = {"field": "rate", "type": "quantitative", "title": "hit rate (%)", "scale": {"domain": [0, 100]}}
    return Plot(
        key="hit-rate-by-cache",
        title="Expected hit rate by size of the cache",
        caption=f"{demand.concurrency} active traces, {demand.traces:,} begun in {lasting(demand.whole.duration_s)}.",
        data={"rows": {"size": list(sizes), "rate": [100.0 * rate for rate in rates]}},
        labels={"size": "Cache (tokens)", "rate": "Hit rate (%)"},
        wide=True,
        spec={
            "mark": {"type": "line", "point": True, "clip": True, "color": GREEN},
            "encoding": {
                "x": x,
                "y": y,
                "tooltip": [quoted("size", "cache", ","), quoted("rate", "hit rate (%)", ".1f")],
            },
        },
    )
