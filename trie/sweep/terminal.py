"""A sweep on a terminal: the plan before it, the headline after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.config import Order
from trie.metrics.certainty.estimate import Estimate
from trie.metrics.definitions import Number, headlines
from trie.metrics.shown_numbers import CUT_OFF_SHARE, MARK, MARKED
from trie.one_line import lasting, printable
from trie.report.certainty_lines import plus_minus
from trie.report.number_format import MISSING, percent, short
from trie.storage.sweep_dir import Status
from trie.sweep.curves import THROUGHPUTS, Curve, Point, best, curves, knee, throughput
from trie.sweep.objectives import limits_of
from trie.sweep.objectives import word as met_word
from trie.sweep.plan import Plan, Planned
from trie.sweep.table import Row, shown

if TYPE_CHECKING:
    from trie.sweep.cell_forecast import CellForecast

UNSEEN = "its cache was never full in the runs that it was fitted to, and is taken to hold everything"
WIDE = 118  # columns from which a table has room to breathe


def show_plan(plan: Plan, now: datetime, console: Console) -> None:
    """Print the plan; fits 80 columns for a handful of concurrencies."""
    lines = [
        ("sweep", plan.directory),
        ("plan", f"{len(plan.cells)} cells, {lasting(plan.total_s)} of replay in total{_order(plan)}"),
        ("", f"{plan.done} done before, {_left(plan, now)}"),
    ]
    for word, line in lines:
        console.print(Text(f"{word:<11}{printable(line)}"))
    console.print(_table(plan.cells))
    _show_forecasts(plan.cells, console)
    for cell in plan.cells:
        if cell.status is not None and cell.status is not Status.done:
            console.print(Text(f"{'again':<11}{printable(cell.name)}, {cell.status.name}: {printable(cell.why)}"))
    for reason in dict.fromkeys(cell.refused for cell in plan.cells if cell.refused is not None):
        console.print(Text(f"{'refused':<11}{printable(reason)}", style="red"))


def _show_forecasts(cells: Sequence[Planned], console: Console) -> None:
    """A line for each cell that was simulated; repeats are one cell."""
    forecasts = {(cell.row, cell.concurrency): cell.forecast for cell in cells if cell.forecast is not None}
    if forecasts:
        table = Table(box=HEAVY_HEAD, header_style="bold", padding=(0, 1) if console.width >= WIDE else 0)
        table.add_column("forecast", overflow="fold")
        for head in ("conc.", "lasts", "completed", "cut off", "tok/s", "±", "hit rate", "KV p95", "KV max"):
            table.add_column(head, justify="right")
        rows = list(dict.fromkeys(cell.row for cell in cells))
        for row, concurrency in sorted(forecasts, key=lambda cell: (rows.index(cell[0]), cell[1])):
            table.add_row(printable(row), str(concurrency), *_forecast(forecasts[row, concurrency]))
        console.print(table)
        _show_durations(cells, console)
        profiles = {forecast.profile: forecast.kv_capacity_tokens for forecast in forecasts.values()}
        for profile, capacity in profiles.items():
            held = f"its cache holds {_tokens(capacity)} tokens" if capacity is not None else UNSEEN
            text = f"profile {profile} in virtual time, no server was measured; {held}"
            console.print(Text(f"{'forecast':<11}{printable(text)}", style="yellow"))
        beyond = sorted({concurrency for (_, concurrency), forecast in forecasts.items() if forecast.beyond_fit})
        if beyond:
            text = f"concurrency {', '.join(map(str, beyond))}: beyond the batches that the profile was fitted to"
            console.print(Text(f"{'forecast':<11}{text}", style="yellow"))
    for reason in dict.fromkeys(cell.no_forecast for cell in cells if cell.no_forecast is not None):
        console.print(Text(f"{'forecast':<11}none: {printable(reason)}", style="yellow"))


def _show_durations(cells: Sequence[Planned], console: Console) -> None:
    """How long the sweep lasts by the forecast, and how long it would have to last to be precise."""
    known = [cell.forecast for cell in cells if cell.forecast is not None]
    lines = [f"the cells last {lasting(sum(forecast.lasts_s for forecast in known))} in all"]
    needs = [forecast.needs_s for forecast in known]
    if None in needs:
        lines.append("how long some would need for 2 % can't be told")
    else:
        lines.append(f"precision=2% needs {lasting(sum(seconds or 0.0 for seconds in needs))}")
    console.print(Text(f"{'forecast':<11}{'; '.join(lines)}"))


def _forecast(forecast: CellForecast) -> Iterator[str]:
    """How long it lasts, traces completed, the share cut off, throughput, hit rate, KV tokens of the active traces."""
    yield lasting(forecast.lasts_s)
    yield f"{forecast.traces_completed:,}"
    yield percent(forecast.cut_off_share)
    yield short(forecast.completion_tok_s)
    yield percent(forecast.precision)
    yield percent(forecast.cache_hit_rate)
    yield _tokens(forecast.kv_tokens.p95)
    yield _tokens(forecast.kv_tokens.max)


def _tokens(count: float) -> str:
    return f"{count / 1e6:,.2f}M" if count >= 1e6 else f"{count:,.0f}"


def _order(plan: Plan) -> str:
    """In which order, where there is more to it than what was written."""
    repeats = max((cell.repeat for cell in plan.cells), default=1)
    times = f", {repeats} repeats" if repeats > 1 else ""
    return f"{times}, {plan.order.name}" if times or plan.order is Order.shuffled else ""


def _left(plan: Plan, now: datetime) -> str:
    if plan.done == len(plan.cells):
        return "nothing to do"
    end = f"{now + timedelta(seconds=plan.to_go_s):%a %d %b %H:%M}"
    if plan.at_once:
        return f"{lasting(plan.to_go_s)} of replay to go, several cells at once: until {end} at the latest"
    return f"{lasting(plan.to_go_s)} to go, until about {end}"


def _table(cells: Sequence[Planned]) -> Table:
    """Rows of workloads, columns of concurrencies, as they were written."""
    columns = sorted({cell.concurrency for cell in cells})
    table = Table(box=HEAVY_HEAD, header_style="bold")
    table.add_column("concurrency", no_wrap=True)
    for column in columns:
        table.add_column(str(column), justify="right")
    for row in dict.fromkeys(cell.row for cell in cells):
        here = [[cell for cell in cells if (cell.row, cell.concurrency) == (row, column)] for column in columns]
        table.add_row(printable(row), *map(_repeats, here))
    return table


def _repeats(cells: Sequence[Planned]) -> Text:
    """What there is to say about the repeats of one cell."""
    if not cells:
        return Text("-", style="dim")
    ahead = [cell for cell in cells if cell.to_do]
    if not ahead:
        return Text("done" if len(cells) == 1 else f"{len(cells)} done", style="green")
    if any(cell.refused for cell in ahead):
        return Text("refused", style="red")
    durations = {cell.duration_s for cell in ahead}
    times = f"{len(ahead)} x " if len(ahead) > 1 else ""
    text = times + "/".join(lasting(duration) for duration in sorted(durations))
    done = len(cells) - len(ahead)
    return Text(f"{done} done, {text}" if done else text)


def show_headline(rows: Sequence[Row], console: Console) -> None:
    """Print the matrix of workloads and concurrencies, the knees, and the cells that gave no numbers."""
    measured = curves(shown(rows))
    column = throughput(measured)
    metrics = [number for number in headlines("sweep") if number.column not in THROUGHPUTS or number.column == column]
    numbers = sorted({point.concurrency for curve in measured for point in curve.points})
    table = Table(box=HEAVY_HEAD, header_style="bold", padding=(0, 1) if console.width >= WIDE else 0)
    table.add_column("concurrency", overflow="fold")
    for number in numbers:
        table.add_column(str(number), justify="right", no_wrap=True)
    for curve in measured:
        by_number = {point.concurrency: point for point in curve.points}
        table.add_row(Text(printable(curve.label), style="bold"), *(_status(by_number.get(n)) for n in numbers))
        top = best(curve, column)
        for metric in metrics:
            points = [by_number.get(number) for number in numbers]
            cells = (_figure(point, metric, best=metric.column == column and point is top) for point in points)
            table.add_row(f"  {metric.titled}", *cells)
        if curve.slo_range:
            table.add_row("  SLO", *(_slo(by_number.get(number)) for number in numbers))
    console.print(table)
    _show_notes(rows, measured, metrics, console)
    for curve in measured:
        console.print(Text(f"{'knee':<11}{printable(curve.label)}: {_knee(curve, column)}"))
    for curve in (curve for curve in measured if curve.slo_range):
        console.print(Text(f"{'slo':<11}{printable(curve.label)}: {curve.slo_range}"))
    for row in rows:
        word = row["status"] if row["status"] != Status.done.name else "" if row["valid"] else "invalid"
        if word:
            style = "yellow" if word == Status.unfinished.name else "red"
            console.print(Text(printable(f"{word:<11}{row['cell']}: {row['why']}"), style=style))


def _show_notes(rows: Sequence[Row], measured: Sequence[Curve], metrics: Sequence[Number], console: Console) -> None:
    """What marks mean, the limits, and that no server was measured."""
    if any(point.mark(number) for curve in measured for point in curve.points for number in metrics):
        console.print(Text(f"{MARK:<11}{MARKED}: more than {CUT_OFF_SHARE:.0%} were cut off or failed", style="yellow"))
    if limits := limits_of(rows):
        console.print(Text(f"{'SLO':<11}{printable(limits)}"))
    if any(row["clock"] == "virtual" for row in rows):
        console.print(Text(f"{'clock':<11}virtual time: no server was measured", style="yellow"))


def _knee(curve: Curve, column: str) -> str:
    point, top = knee(curve, column), best(curve, column)
    if top is None:
        return "nothing measured yet"
    if len(curve.measured) < 3:
        return "takes three concurrencies"
    if point is None:
        return f"not reached: the best throughput is at the highest concurrency, {top.concurrency}"
    return f"concurrency {point.concurrency}; the best throughput is at {top.concurrency}"


def _status(point: Point | None) -> Text:
    """Above the figures of a point: nothing when all is well."""
    if point is None:
        return Text(MISSING, style="dim")
    missing = len(point.rows) - len(point.done)
    if missing:
        return Text(
            f"{len(point.done)} of {len(point.rows)}" if len(point.rows) > 1 else point.rows[0]["status"], style="red"
        )
    return Text("" if point.valid else "invalid", style="red")


def _slo(point: Point | None) -> Text:
    if point is None or not point.done:
        return Text(MISSING, style="dim")
    styles = {"yes": "green", "no": "red", "unsure": "yellow", None: "dim"}
    return Text(met_word(point.slo_met), style=styles[point.slo_met])


def _figure(point: Point | None, number: Number, *, best: bool = False) -> Text:
    """The mean over the repeats and half of their range; of a single run its interval, where it has one."""
    spread = point.spread(number.column) if point is not None else None
    if point is None or spread is None:
        return Text(MISSING, style="dim")
    bounds = point.interval(number.column) if spread.repeats == 1 else None
    within = plus_minus(Estimate(spread.mean, *bounds), number.display.factor) if bounds else ""
    text = f"{spread.text(number.display.factor)}{within}{point.mark(number)}"
    return Text(text, style="bold green" if best else "")
