"""The page of a run, from its rows, its summary and its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trie.metrics.checks.check import Check as RunCheck
from trie.metrics.columns import Columns
from trie.metrics.definitions import (
    PER_REQUEST,
    PER_TRACE,
    STATISTICS,
    WINDOWS,
    WORKLOAD,
    Metric,
    Number,
    declared,
    headlines,
    metric_of,
)
from trie.metrics.definitions import (
    Section as MetricSection,
)
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.metric_names import numbers
from trie.metrics.series import phases, timeline
from trie.metrics.shown_numbers import MARKED, mark, marked, shown, with_cut_off
from trie.metrics.summary import Summary
from trie.metrics.throughput import Points
from trie.metrics.traces import traces
from trie.metrics.values import per_request, per_trace
from trie.report.engine import engine_table
from trie.report.html.document import (
    Block,
    Card,
    Cards,
    Cell,
    Check,
    Column,
    Facts,
    Page,
    Section,
    Table,
    Tone,
    Verdict,
)
from trie.report.labels import EXPECTED, facts, head, marked_note, simulated_by, warnings_of
from trie.report.latency_plots import distributions, ttft_against_context
from trie.report.number_format import fine, short
from trie.report.time_plots import client_over_time, outcomes_over_time, time_plots
from trie.report.trace_plots import cache_hits_by_turn, traces_by_slot
from trie.storage.manifest import Manifest
from trie.storage.run_dir import REPORT

INTERVALS, SLOTS = 2500, 48  # that a timeline shows
ERRORS = 20  # kinds in the table
FEW = "A percentile of too few values (n) is a dash."
CANCELLED = "Cancelled: in flight when the run ended, which no failure rate includes."
FOOTER = (
    "Times are seconds since the run began, on one monotonic clock. Tables and verdict count every request; plots are "
    "binned, thinned or sampled where their captions say so. {rows:,} requests; trie {version}."
)


def write_page(run: EvaluatedRun) -> Path:
    """Write the page into the run's directory.

    Raises:
        ReportError: when it can't be written.
    """
    path = run.run.path / REPORT
    page_of(run).write(path)
    return path


def page_of(run: EvaluatedRun) -> Page:
    """The page of a finished run."""
    return run_page(run.columns, run.summary, run.manifest)


def run_page(columns: Columns, summary: Summary, manifest: Manifest) -> Page:
    """The whole page: verdict first, then numbers, plots, and what was run."""
    settings, server, started = manifest.settings, manifest.server, manifest.started.wall_clock
    when = f", started {started[:19].replace('T', ' ')} UTC" if started else ""
    where = "the embedded endpoint (simulated)" if server.embedded else server.base_url
    if settings.clock == "virtual":
        where = f"no server: virtual time, {simulated_by(settings)}"
    return Page(
        title=f"{manifest.workload.name}, concurrency {settings.concurrency.value}",
        subtitle=f"{server.model} on {where}, {settings.duration:g} s{when}",
        blocks=[
            _verdict(summary),
            _headline(summary),
            Section("Metrics", list(_tables(summary))),
            *_plots(columns, summary, manifest),
            Section("Run", [Facts(dict(_facts(manifest)))]),
            Section("Config", [_config(manifest.config)], folded=True),
        ],
        footer=FOOTER.format(rows=len(columns), version=manifest.trie_version),
    )


def _verdict(summary: Summary) -> Verdict:
    warnings = warnings_of(summary)
    detail = f"with {warnings}" if warnings else "no warnings"
    word = "VALID" if summary.valid else "INVALID"
    return Verdict(
        word=word,
        tone="good" if summary.valid else "bad",
        detail=detail if summary.valid else "these numbers would mislead",
        checks=[_check(check) for check in summary.verdict],
    )


def _check(check: RunCheck) -> Check:
    return Check("ok" if check.ok else check.level, check.title, check.found, check.advice)


def _headline(summary: Summary) -> Cards:
    """The numbers that are looked for first; failures stand beside them."""
    values = shown(numbers(summary.to_json()))
    first = headlines("page")
    metrics = dict.fromkeys(number.metric for number in first)
    cards = [_card([number for number in first if number.metric is metric], values) for metric in metrics]
    (failed,) = metric_of("requests_failed_share").numbers()
    done, started = summary.traces["completed"], sum(summary.traces.values())
    share = failed.shown(values[failed.key])
    tone: Tone = "bad" if share else "plain"
    detail = f"{done:,} of {started:,} traces completed"
    failures = Card(failed.name, share, failed.metric.display.unit, detail, tone, failed.definition)
    return Cards([*cards, failures])


def _card(of_metric: Sequence[Number], values: Mapping[str, float | None]) -> Card:
    """One metric: its first number, and the others and their n below it."""
    first, *others = of_metric
    if marked(first.metric, values):
        return _card_with_cut_off(first, values)
    unit = first.display.unit
    counts = [number for number in first.metric.numbers() if number.counts]
    below = [
        f"{number.statistic} {fine(number.shown(value))} {number.display.unit}".rstrip()
        for number in (*others, *counts)
        if (value := values.get(number.key)) is not None
    ]
    value = first.shown(values.get(first.key))
    return Card(first.name, value, unit, ", ".join(below) or None, help=first.definition)


def _card_with_cut_off(number: Number, values: Mapping[str, float | None]) -> Card:
    """The estimate that counts in what was cut off; the plain figure is none of all, and stands below it."""
    plain, estimate = number.shown(values.get(number.key)), number.shown(with_cut_off(number, values))
    detail = f"{fine(plain)} {number.display.unit} {MARKED}"
    label = f"{number.name} with what was cut off"
    return Card(label, estimate, number.display.unit, detail, "warn", number.definition)


def _tables(summary: Summary) -> Iterator[Block]:
    values = shown(numbers(summary.to_json()))
    yield _statistics(PER_TRACE, values)
    yield _workload(summary, values)
    yield _statistics(PER_REQUEST, values)


def _statistics(section: MetricSection, values: Mapping[str, float | None]) -> Table:
    rows = [
        [
            _named(metric, mark(metric, values)),
            metric.display.unit,
            *(number.shown(values.get(number.key)) for number in metric.numbers()),
        ]
        for metric in declared(section)
    ]
    return Table(
        caption=section.title,
        columns=[Column("Metric"), Column("Unit"), *(Column(statistic.label) for statistic in STATISTICS)],
        rows=rows,
        note=" ".join(filter(None, (f"Over {section.over}. {FEW}", marked_note(section, values)))),
    )


def _named(metric: Metric, mark: str = "") -> Cell:
    return Cell(f"{metric.name} {mark}".rstrip(), help=metric.definition)


def _workload(summary: Summary, values: Mapping[str, float | None]) -> Table:
    done, rate = summary.traces["completed"], summary.trace_per_s
    rows = [
        [_named(metric), metric.display.unit, *(number.shown(values.get(number.key)) for number in metric.numbers())]
        for metric in declared(WORKLOAD)
    ]
    windows = [Column(window.label, help=window.definition) for window in WINDOWS]
    expected = ", ".join(metric.label for metric in declared(WORKLOAD) if metric.expected)
    completed = f"{done:,} of {sum(summary.traces.values()):,} traces completed, {short(rate, 3)} trace/s."
    note = f"{completed} Of {expected}: {EXPECTED}."
    columns = [Column("Metric"), Column("Unit"), *windows]
    return Table(caption=WORKLOAD.title, columns=columns, rows=rows, note=note)


def _plots(columns: Columns, summary: Summary, manifest: Manifest) -> Iterator[Section]:
    wall, configured = summary.wall_time_s, manifest.settings.concurrency.value
    stream = manifest.settings.stream
    points, sessions = Points.of(columns), traces(columns)
    spans = phases(columns, sessions, wall_time_s=wall)
    intervals = timeline(
        columns, spans, points.steady_window() or (0.0, wall), wall_time_s=wall, most=INTERVALS, slots=SLOTS
    )
    over_time = time_plots(
        columns, points, sessions, spans, rates=summary.workload, wall_time_s=wall, configured=configured
    )
    yield Section("Over time", list(over_time))
    requests, of_traces = per_request(columns, stream=stream), per_trace(columns, sessions, stream=stream)
    yield Section("Latency", [*distributions(requests, of_traces, sessions, wall_time_s=wall)])
    yield Section("Context and cache", [ttft_against_context(columns), cache_hits_by_turn(columns)])
    yield Section("Timeline", [traces_by_slot(columns, intervals)])
    yield Section("Outcomes", [_outcomes(summary), outcomes_over_time(columns, wall_time_s=wall), *_errors(columns)])
    yield Section(
        "Lengths, censoring and the client",
        [Facts(_by_word(facts(summary))), *_engine(summary), client_over_time(columns, wall_time_s=wall)],
    )


def _engine(summary: Summary) -> Iterator[Table]:
    if summary.engine is not None and summary.engine.disbelieved is None:
        yield engine_table(summary.engine)


def _by_word(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The lines under each word; a line without one goes on under the word before it."""
    facts: dict[str, str] = {}
    for word, line in lines:
        last = word or next(reversed(facts), "")
        facts[last] = f"{facts[last]}; {line}" if last in facts else line
    return facts


def _outcomes(summary: Summary) -> Table:
    traces, requests = summary.traces, summary.requests
    kinds = (("completed", "ok"), ("failed", "failed"), ("cancelled", "cancelled"))
    rows = [
        [trace, traces[trace], _share(traces, trace), requests[request], _share(requests, request)]
        for trace, request in kinds
    ]
    columns = [Column("Outcome"), Column("Traces"), Column("Share", "%"), Column("Requests"), Column("Share", "%")]
    return Table(caption="Outcomes", columns=columns, rows=rows, wide=False, note=CANCELLED)


def _share(counts: Mapping[str, int], outcome: str) -> float | None:
    whole = sum(counts.values())
    return 100.0 * counts[outcome] / whole if whole else None


def _errors(columns: Columns) -> Iterator[Table]:
    """Failed requests by kind, with what the server said; none, no table."""
    errors = columns.errors()
    if not errors:
        return
    heads = [Column("Error"), Column("HTTP status"), Column("Requests"), Column("First at", "s"), Column("For example")]
    rows = [
        [
            row["error_kind"] or "unknown",
            "" if row["http_status"] is None else str(row["http_status"]),
            row["count"],
            row["first_s"],
            row["example"] or "",
        ]
        for row in errors[:ERRORS]
    ]
    left = len(errors) - len(rows)
    yield Table(
        caption="Errors", columns=heads, rows=rows, note=f"{left} more kinds are in the rows." if left else None
    )


def _facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What was run, where and by what."""
    yield from head(manifest)
    workload = manifest.workload
    if workload.sha256 is not None:
        yield "workload file", f"sha256 {workload.sha256}, mean turns {workload.mean_turns:g}"
    for word, values in (("host", manifest.host), ("versions", manifest.versions)):
        if values:
            yield word, ", ".join(f"{name} {value}" for name, value in values.items() if value)


def _config(config: Mapping[str, Any]) -> Table:
    rows = [[key, "null" if value is None else str(value)] for key, value in _flat(config)]
    return Table(caption="Every setting of the run", columns=[Column("Key"), Column("Value")], rows=rows)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
