"""How sure the numbers are, in words: `719.8 ±14`, the estimates for the whole workload, and why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import floor, log10

from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.section import Certainty, Estimates
from trie.metrics.definitions import Metric, metric_of
from trie.report.number_format import fine, percent, short

LOPSIDED = 0.15  # of half an interval, by which its middle may be off the value for `±` to be said
SHOWN = ("per_trace.latency_s", "per_trace.ttft_s", "per_trace.ttfat_s", "per_request.tpot_s")
RATES = ("completion_tok_s", "uncached_prompt_tok_s")
TIMES = ("latency_s", "ttft_s", "ttfat_s")


def plus_minus(estimate: Estimate | None, factor: float = 1.0) -> str:
    """What stands behind a value: ` ±14`, or ` [700, 760]` where the interval is lopsided; nothing without one."""
    if estimate is None or estimate.low is None or estimate.high is None or estimate.half_width is None:
        return ""
    half = estimate.half_width
    if abs((estimate.low + estimate.high) / 2 - estimate.value) > LOPSIDED * half:
        return f" [{_rounded(estimate.low * factor, half * factor)}, {_rounded(estimate.high * factor, half * factor)}]"
    return f" ±{_rounded(half * factor, half * factor)}"


def _rounded(value: float, to: float) -> str:
    """A value to the second digit of another."""
    if not to > 0:
        return f"{value:.3g}"
    digits = max(1 - floor(log10(to)), 0)
    return f"{value:,.{digits}f}"


def certainty_lines(certainty: Certainty | None, traces: int) -> Iterable[tuple[str, str]]:
    """Intervals and estimates, each under a word; nothing of a summary from before there were any."""
    if certainty is None:
        return
    yield from _measured(certainty)
    if certainty.population != type(certainty.population)():
        yield "workload", _whole(certainty, traces)
    for line in dict.fromkeys(certainty.why.values()):
        yield "", line


def _measured(certainty: Certainty) -> Iterator[tuple[str, str]]:
    sections: Mapping[str, Mapping[str, Estimates]] = {
        "per_trace": certainty.per_trace,
        "per_request": certainty.per_request,
    }
    parts = []
    for path in SHOWN:
        section, key = path.split(".")
        if line := _statistics(metric_of(path), sections[section].get(key)):
            parts.append(line)
    if parts:
        yield "intervals", f"{percent(certainty.confidence, 0)}, {certainty.blocks} blocks of time: {'; '.join(parts)}"


def _statistics(metric: Metric, estimates: Estimates | None) -> str:
    """`Latency mean 100 ±4, p50 80 ±3 s`; empty where nothing was measured."""
    shown = metric.display
    values = [
        f"{name} {fine(estimate.value * shown.factor)}{plus_minus(estimate, shown.factor)}"
        for name, estimate in (estimates or {}).items()
        if estimate is not None
    ]
    return f"{metric.label} {', '.join(values)} {shown.unit}" if values else ""


def _whole(certainty: Certainty, traces: int) -> str:
    population, model = certainty.population, certainty.model
    parts = []
    for key in RATES:
        estimate: Estimate | None = getattr(population, key)
        if estimate is not None:
            metric = metric_of(f"workload.{key}")
            parts.append(f"{metric.label} {short(estimate.value)}{plus_minus(estimate)} {metric.unit}")
    parts += [_statistics(metric_of(f"per_trace.{key}"), getattr(population, key)) for key in TIMES]
    fitted = "" if model is None else f" (fit of {model.requests:,} requests, R2 {model.r2:.3f})"
    return f"all {traces:,} traces, estimated: {'; '.join(part for part in parts if part)}{fitted}"
