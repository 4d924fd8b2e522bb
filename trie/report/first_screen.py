"""What a reader of a run's page sees first: who was measured, the verdict in a line, six numbers and their course."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, STATISTICS, WORKLOAD
from trie.metrics.first_numbers import FirstNumber, first_numbers
from trie.metrics.series import Bins, completion_rate, cumulative, medians, medians_of, places, ratios, sums
from trie.metrics.shown_numbers import MARKED
from trie.metrics.summary import Summary
from trie.metrics.throughput import Points
from trie.metrics.traces import Traces, eligible_tokens
from trie.report.html.document import Card, Cards, Check, Tone, Verdict
from trie.report.labels import load_name, simulated_by, warnings_of
from trie.report.number_format import fine
from trie.storage.manifest import Manifest

COURSE_BINS = 24  # of the small line in a card
LEAST = next(part.least for part in STATISTICS if part.key == "p50")


@dataclass(frozen=True, slots=True)
class Measured:
    """What the rows of a run give, computed once for the whole page."""

    columns: Columns
    sessions: Traces
    points: Points
    requests: Mapping[str, Floats]  # by key, of those that ended well
    of_traces: Mapping[str, Floats]  # by key, NaN of those that did not complete
    wall_time_s: float


def identity(manifest: Manifest) -> str:
    """The model on the engine, and how many GPUs."""
    settings, server = manifest.settings, manifest.server
    gpus = settings.num_gpus
    on = f", {gpus} GPU{'s' if gpus > 1 else ''}" if gpus else ""
    if settings.clock == "virtual":
        return f"{server.model} in virtual time{on}"
    return f"{server.model} on {_engine(manifest)}{on}"


def _engine(manifest: Manifest) -> str:
    server = manifest.server
    if server.embedded:
        return "the embedded endpoint (simulated)"
    dialect = server.dialect
    engine = "" if dialect is None else " ".join(filter(None, (dialect.name, dialect.version)))
    more = f" and {len(server.replicas)} more" if server.replicas else ""
    return f"{engine or server.base_url}{more}"


def circumstances(manifest: Manifest) -> str:
    """Workload, load, duration, date and address."""
    settings, started = manifest.settings, manifest.started.wall_clock
    parts = [manifest.workload.name, load_name(settings), f"{settings.duration:g} s"]
    if started:
        parts.append(f"{started[:16].replace('T', ' ')} UTC")
    if settings.clock == "virtual":
        parts.append(f"no server was measured: {simulated_by(settings)}")
    elif not manifest.server.embedded:
        parts.append(manifest.server.base_url)
    return ", ".join(parts)


def verdict(summary: Summary, *, virtual: bool = False) -> Verdict:
    """In one line, with every check behind it; that no server was measured stands as large as the word."""
    warnings = warnings_of(summary)
    detail = f"with {warnings}" if warnings else "no warnings"
    checks = [
        Check("ok" if check.ok else check.level, check.title, check.found, check.advice) for check in summary.verdict
    ]
    return Verdict(
        word=("VALID" if summary.valid else "INVALID") + (", SIMULATED" if virtual else ""),
        tone="bad" if not summary.valid else "warn" if virtual else "good",
        detail=detail if summary.valid else "these numbers would mislead",
        checks=sorted(checks, key=lambda check: ("error", "warning", "ok").index(check.level)),
    )


def cards(run: Measured, summary: Summary, *, num_gpus: int | None) -> Cards:
    """The six numbers with unit, n, interval and their course over the run."""
    courses = _courses(run, num_gpus or 1)
    return Cards([_card(first, courses, summary) for first in first_numbers(summary.to_json())])


def _card(first: FirstNumber, courses: Mapping[str, Floats], summary: Summary) -> Card:
    metric, unit = first.number.metric, first.unit
    course = courses.get(metric.path, np.empty(0)) * first.number.display.factor
    return Card(
        f"{first.name} {first.of}".rstrip(),
        first.value,
        unit,
        detail="; ".join(_details(first, summary)) or None,
        tone=_tone(first),
        help=first.number.definition,
        over_time=[float(value) if np.isfinite(value) else None for value in course],
    )


def _tone(first: FirstNumber) -> Tone:
    if first.number.metric.key == "requests_failed_share":
        return "bad" if first.value else "plain"
    return "warn" if first.n is not None and first.plain is not None else "plain"


def _details(first: FirstNumber, summary: Summary) -> Iterable[str]:
    """What stands below a number: its interval, of how many values it is, what it speaks of."""
    if first.low is not None and first.high is not None:
        yield f"{fine(first.low)} to {fine(first.high)} (95 %)"
    if first.plain is not None:
        yield f"{fine(first.plain)} {first.unit} {MARKED}"
    if first.n is not None:
        yield f"n {first.n:,}"
    if first.number.metric.key == "requests_failed_share":
        yield f"{summary.traces['completed']:,} of {sum(summary.traces.values()):,} traces completed"


def _courses(run: Measured, num_gpus: int) -> dict[str, Floats]:
    """Each of the six over the run, in the unit of summary.json, by the metric's path; empty for a run of no time."""
    bins = Bins.over(run.wall_time_s, most=COURSE_BINS)
    columns = run.columns
    if not len(bins) or not len(columns):
        return {}
    ended = columns.each(lambda block: places(block["end_s"][block.outcome("ok")], bins))
    came = completion_rate(columns, bins)
    if np.isnan(came).all():  # without streaming
        came = np.diff(cumulative(run.points, bins)["completion_tok_s"]) / bins.widths
    return {
        f"{WORKLOAD.key}.completion_tok_s": came / num_gpus,
        f"{PER_REQUEST.key}.ttft_s": medians_of(ended, run.requests["ttft_s"], bins, least=LEAST),
        f"{PER_REQUEST.key}.tpot_s": medians_of(ended, run.requests["tpot_s"], bins, least=LEAST),
        f"{PER_TRACE.key}.latency_s": medians(run.sessions.last_s, run.of_traces["latency_s"], bins, least=LEAST),
        f"{PER_TRACE.key}.eligible_cache_hit_rate_pct": 100.0
        * ratios(columns.summed(lambda block: _hits(block, bins))),
        "requests_failed_share": ratios(columns.summed(lambda block: _failures(block, bins))),
    }


def _hits(columns: Columns, bins: Bins) -> Floats:
    eligible = np.where(columns.outcome("ok"), eligible_tokens(columns), np.nan)
    return sums(columns["end_s"], columns.cached_tokens * (eligible > 0), eligible, bins)


def _failures(columns: Columns, bins: Bins) -> Floats:
    failed = columns.outcome("failed")
    ended = (columns.outcome("ok") | failed).astype(np.float64)
    return sums(columns["end_s"], failed.astype(np.float64), ended, bins)
