"""A run's numbers as text: the two tables of the reference, what stands beside them, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.config import LoadConfig
from trie.metrics.definitions import (
    PER_REQUEST,
    PER_TRACE,
    STATISTICS,
    WINDOWS,
    WORKLOAD,
    Number,
    Section,
    declared,
)
from trie.metrics.metric_names import numbers
from trie.metrics.shown_numbers import mark, shown
from trie.metrics.summary import Summary
from trie.one_line import printable
from trie.report.certainty_lines import certainty_lines, plus_minus
from trie.report.decisions import decision_lines
from trie.report.labels import EXPECTED, facts, head, marked_note, warnings_of
from trie.report.number_format import fine, short
from trie.storage.manifest import Manifest

WIDE = 118  # columns from which a table of all per-trace metrics fits side by side


def starting_line(manifest: Manifest) -> str:
    """The log line at a run's start, with the reference's fields."""
    settings = manifest.settings
    facts: dict[str, Any] = {
        **({"concurrency": settings.concurrency.value} if settings.load.shape == "closed" else _load(settings.load)),
        "duration": settings.duration,
        "model": manifest.server.model,
        "num_gpus": settings.num_gpus,
        "workload_templates": manifest.workload.traces,
    }
    return "starting benchmark " + _fields(facts)


def _load(load: LoadConfig) -> dict[str, Any]:
    """In the place of a concurrency."""
    rates = {"poisson": load.rate, "constant": load.rate}
    more = {"rate": rates[load.shape]} if load.shape in rates else {}
    return {"load": load.shape, **more, **({"levels": load.levels} if load.shape == "ramp" else {})}


def complete_line(summary: Summary) -> str:
    """The log line at a run's end, with the reference's fields, whose "requests" are whole traces."""
    traces = summary.traces
    facts: dict[str, Any] = {
        "completed_requests": traces["completed"],
        "failed_requests": traces["failed"],
        "cancelled_requests": traces["cancelled"],
        "wall_time_s": round(summary.wall_time_s, 3),
        "trace_per_s": None if summary.trace_per_s is None else round(summary.trace_per_s, 4),
        "valid": summary.valid,
    }
    return f"benchmark complete {_fields(facts)} (these requests are whole traces)"


def _fields(facts: Mapping[str, Any]) -> str:
    return printable(" ".join(f"{key}={value}" for key, value in facts.items()))


def render(summary: Summary, manifest: Manifest, console: Console) -> None:
    """Print a run's report; fits 80 columns, and holds no control sequences of anybody else's."""
    print_lines(console, head(manifest))
    console.print()
    values = shown(numbers(summary.to_json()))
    _statistics(console, PER_TRACE, values)
    console.print()
    _workload(console, summary, values)
    console.print()
    _statistics(console, PER_REQUEST, values)
    console.print()
    print_lines(console, facts(summary))
    print_lines(console, certainty_lines(summary.certainty, manifest.workload.traces))
    print_lines(console, decision_lines(summary))
    console.print()
    _verdict(console, summary)


def print_lines(console: Console, lines: Iterable[tuple[str, str]], style: str = "") -> None:
    """A word and what there is to say about it, wrapped beside the word."""
    for word, line in lines:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=10, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(word, style=style), Text(_encodable(printable(line), console)))
        console.print(grid)


def _encodable(text: str, console: Console) -> str:
    """The text in what the console can write: a pipe may be ASCII."""
    return text.encode(console.encoding, "replace").decode(console.encoding)


def _statistics(console: Console, section: Section, values: Mapping[str, float | None]) -> None:
    """Statistics by metric: as the reference lays them out where there is room, turned over where there is not."""
    metrics = declared(section)
    units = {metric.display.unit for metric in metrics}
    title = f"{section.title} ({', '.join(units)})" if len(units) == 1 else section.title
    console.print(Text(title, style="bold"))
    marks = [mark(metric, values) for metric in metrics]
    names = [metric.name if len(units) == 1 else metric.heading for metric in metrics]
    labels = [f"{name} {mark}".rstrip() for name, mark in zip(names, marks, strict=True)]
    cells = [[fine(number.shown(values.get(number.key))) for number in metric.numbers()] for metric in metrics]
    wide = console.width >= WIDE
    table = Table(box=HEAVY_HEAD, header_style="bold", padding=(0, 1) if wide else 0)
    if wide:
        table.add_column("Metric")
        for label in labels:
            table.add_column(label, justify="right")
        for at, statistic in enumerate(STATISTICS):
            table.add_row(statistic.label, *(column[at] for column in cells))
    else:
        table.add_column("Metric")
        for statistic in STATISTICS:
            table.add_column(statistic.label, justify="right", no_wrap=True)
        for label, column in zip(labels, cells, strict=True):
            table.add_row(label, *column)
    console.print(table)
    if note := marked_note(section, values):
        console.print(Text(note, style="yellow"))


def _workload(console: Console, summary: Summary, values: Mapping[str, float | None]) -> None:
    console.print(Text(WORKLOAD.title, style="bold"))  # the title and the next line as in the reference
    done, rate = summary.traces["completed"], summary.trace_per_s
    console.print(Text(f"completed={done}/{sum(summary.traces.values())} trace/s={short(rate, 3)} (whole traces)"))
    table = Table(box=HEAVY_HEAD, header_style="bold")
    table.add_column("Metric", no_wrap=True)
    for window in WINDOWS:
        table.add_column(window.label, justify="right")
    metrics = declared(WORKLOAD)
    for metric in metrics:
        figures = (_with_interval(number, values, summary) for number in metric.numbers())
        table.add_row(metric.heading, *(_encodable(figure, console) for figure in figures))
    console.print(table)
    expected = ", ".join(metric.label for metric in metrics if metric.expected)
    console.print(Text(f"{expected}: {EXPECTED}", style="dim"))


def _with_interval(number: Number, values: Mapping[str, float | None], summary: Summary) -> str:
    """A throughput; that of the steady state with its interval."""
    text = short(number.shown(values.get(number.key)))
    steady = number.part is not None and number.part.key == "steady_state"
    estimates = {} if summary.certainty is None or not steady else summary.certainty.steady_state
    return text + plus_minus(estimates.get(number.metric.key), number.display.factor)


def _verdict(console: Console, summary: Summary) -> None:
    word, style = ("VALID", "bold green") if summary.valid else ("INVALID", "bold red")
    counted = f" with {warnings}" if (warnings := warnings_of(summary)) else ""
    console.print(Text.assemble(f"{'verdict':<11}", (word, style), counted))
    for check in summary.verdict:
        if not check.ok:
            line = f"{check.line}; {check.advice}"
            print_lines(console, [(f"  {check.level}", line)], style="red" if check.level == "error" else "yellow")
