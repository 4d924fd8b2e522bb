"""A sweep on a terminal: the plan before it, the headline after it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.config import Order
from trie.sweep.plan import Plan, Planned
from trie.text import lasting, printable


def show_plan(plan: Plan, now: datetime, console: Console) -> None:
    """Print the plan; fits 80 columns for a handful of concurrencies."""
    lines = [
        ("sweep", plan.directory),
        ("plan", f"{len(plan.cells)} cells, {lasting(plan.total_s)} of replay in total{_order(plan)}"),
        ("", f"{plan.done} done before, {_left(plan, now)}"),
    ]
    for word, said in lines:
        console.print(Text(f"{word:<11}{printable(said)}"))
    console.print(_table(plan.cells))
    for reason in dict.fromkeys(cell.refused for cell in plan.cells if cell.refused is not None):
        console.print(Text(f"{'refused':<11}{printable(reason)}", style="red"))


def _order(plan: Plan) -> str:
    """In which order, where there is more to it than what was written."""
    repeats = max((cell.repeat for cell in plan.cells), default=1)
    said = f", {repeats} repeats" if repeats > 1 else ""
    return f"{said}, {plan.order.name}" if said or plan.order is Order.shuffled else ""


def _left(plan: Plan, now: datetime) -> str:
    if plan.done == len(plan.cells):
        return "nothing to do"
    return f"{lasting(plan.to_go_s)} to go, until about {now + timedelta(seconds=plan.to_go_s):%a %d %b %H:%M}"


def _table(cells: Sequence[Planned]) -> Table:
    """Rows of workloads, columns of concurrencies, as they were written."""
    columns = sorted({cell.concurrency for cell in cells})
    table = Table(box=HEAVY_HEAD, header_style="bold")
    table.add_column("concurrency", no_wrap=True)
    for column in columns:
        table.add_column(str(column), justify="right")
    for row in dict.fromkeys(cell.row for cell in cells):
        here = [[cell for cell in cells if (cell.row, cell.concurrency) == (row, column)] for column in columns]
        table.add_row(printable(row), *map(_said, here))
    return table


def _said(cells: Sequence[Planned]) -> Text:
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
    said = times + "/".join(lasting(duration) for duration in sorted(durations))
    done = len(cells) - len(ahead)
    return Text(f"{done} done, {said}" if done else said)
