"""Objectives, goodput and cost of a run, for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from trie.metrics.certainty.estimate import Estimate
from trie.metrics.cost import Cost
from trie.metrics.definitions import metric_of
from trie.metrics.slo.evaluate import Judged
from trie.metrics.slo.goodput import Goodput
from trie.metrics.summary import Summary
from trie.report.html.document import Block, Cell, Column, Table, Tone, Value
from trie.report.number_format import fine, percent, short

TONES: dict[str, Tone] = {"yes": "good", "no": "bad", "unsure": "warn"}
OF = {"population": "whole workload", "run": "this run"}


def decision_lines(summary: Summary) -> Iterator[tuple[str, str]]:
    """Each under a word; nothing without an SLO and without a price or a power."""
    for one in summary.slo:
        yield ("slo" if one is summary.slo[0] else "", _line(one))
    for tier, goodput in _goodputs(summary):
        yield "goodput", f"{f'{tier}: ' if tier else ''}{_goodput(goodput)}"
    costs = list(_costs(summary.cost))
    if costs:
        yield "cost", ", ".join(f"{label} {_spread(estimate)} {unit}".rstrip() for label, estimate, unit in costs)


def decision_blocks(summary: Summary) -> Iterator[Block]:
    """The same as tables of a page."""
    if summary.slo:
        columns = [Column(name) for name in ("Objective", "limit", "value", "from", "to", "met", "of")]
        yield Table(caption="Service level objectives", columns=columns, rows=[_row(one) for one in summary.slo])
    goodputs = [f"{f'{tier}: ' if tier else ''}{_goodput(goodput)}" for tier, goodput in _goodputs(summary)]
    if goodputs:
        yield Table(caption="Goodput", columns=[Column("Goodput")], rows=[[line] for line in goodputs])
    costs = list(_costs(summary.cost))
    if costs:
        columns = [Column(name) for name in ("Cost", "value", "from", "to", "unit")]
        rows: list[list[Value]] = [
            [label, *(None if end is None else Cell(end, text=fine(end)) for end in _ends(estimate)), unit]
            for label, estimate, unit in costs
        ]
        yield Table(caption="Cost", columns=columns, rows=rows)


def _line(one: Judged) -> str:
    words = {"yes": "met", "no": "MISSED", "unsure": "not sure"}
    tier = f"{one.tier}: " if one.tier else ""
    return f"{tier}{one.expression}: {words[one.met]}, {_value(one)} ({OF[one.of]})"


def _value(one: Judged) -> str:
    if one.value is None:
        return "not measured"
    shown = percent if one.metric == "requests_failed_share" else fine
    ends = "" if one.low is None or one.high is None else f" ({shown(one.low)} to {shown(one.high)})"
    return f"{shown(one.value)}{ends}"


def _row(one: Judged) -> list[Value]:
    tier = f"{one.tier}: " if one.tier else ""
    numbers = [None if end is None else Cell(end, text=fine(end)) for end in (one.limit, one.value, one.low, one.high)]
    return [f"{tier}{one.expression}", *numbers, Cell(one.met, tone=TONES[one.met]), OF[one.of]]


def _goodputs(summary: Summary) -> Iterator[tuple[str, Goodput]]:
    if summary.goodput is not None:
        yield "", summary.goodput
    yield from summary.goodput_by_tier.items()


def _goodput(goodput: Goodput) -> str:
    parts = []
    if goodput.traces_per_s is not None:
        parts.append(f"{short(goodput.traces_per_s, 4)} traces/s ({percent(goodput.share)} of the traces)")
    if goodput.requests_per_s is not None:
        parts.append(f"{short(goodput.requests_per_s, 3)} requests/s ({percent(goodput.requests_share)} of them)")
    return ", ".join(parts) or "the SLO sets no limit for traces or requests"


def _costs(cost: Cost | None) -> Iterator[tuple[str, Estimate, str]]:
    """Label, figure and unit of what is known."""
    if cost is None:
        return
    for field in fields(cost):
        estimate = getattr(cost, field.name)
        if isinstance(estimate, Estimate):
            metric = metric_of(f"cost.{field.name}")
            yield metric.label, estimate, "" if "currency" in metric.unit else metric.unit


def _ends(estimate: Estimate) -> tuple[float | None, ...]:
    return estimate.value, estimate.low, estimate.high


def _spread(estimate: Estimate) -> str:
    half = estimate.half_width
    return _money(estimate.value) if half is None else f"{_money(estimate.value)} ±{_money(half)}"


def _money(value: float) -> str:
    """With three digits where there would be nothing but zeros."""
    return fine(value) if abs(value) >= 0.1 else f"{value:.3g}"
