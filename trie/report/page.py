"""The page of a run, from its rows, its summary and its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trie.metrics.columns import Columns
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, WORKLOAD, declared
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.series import timeline
from trie.metrics.summary import Summary
from trie.metrics.throughput import Points
from trie.metrics.traces import traces
from trie.metrics.values import per_request, per_trace
from trie.report.decisions import decision_blocks
from trie.report.engine import engine_table
from trie.report.first_screen import Measured, cards, circumstances, identity, verdict
from trie.report.html.document import Block, Column, Facts, Page, Section, Table
from trie.report.html.plot import Plot
from trie.report.labels import facts, head
from trie.report.latency_plots import (
    latency_distribution,
    tpot_distribution,
    trace_distribution,
    ttft_against_new_tokens,
    ttft_distribution,
)
from trie.report.sureness import sureness_blocks
from trie.report.tables import errors_tables, outcomes_table, tables
from trie.report.time_plots import client_over_time, outcomes_over_time, time_plots
from trie.report.trace_plots import cache_hits_by_turn, traces_by_slot
from trie.report.workload_shape import shape_table
from trie.storage.manifest import Manifest, Settings
from trie.storage.run_dir import REPORT

INTERVALS, SLOTS = 2500, 48  # that a timeline shows
FOOTER = (
    "Times are seconds since the run began, on one monotonic clock. Tables and verdict count every request; plots are "
    "binned, thinned or sampled where their captions say so. {rows:,} requests; trie {version}."
)
WORDS = {
    "trace": "a recorded series of requests of one agent, of which each holds the conversation before it",
    "session": "one replay of a trace",
    "request": "one call of the server; it ended well, failed, or was cancelled when the run ended",
    "concurrency": "how many traces are replayed at once; each slot begins the next trace when one ends",
    "new prompt tokens": "those that nothing before in the trace had sent or received",
    "eligible": "tokens that a cache could hold: prompt and completion of the request before",
    "steady state": "what follows the first fifth of the time until the last request's end",
    "n": "the number of values that a statistic is of",
}


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
    """The whole page: who was measured, the verdict, six numbers, plots, tables, and what was run."""
    run = measured(columns, summary, manifest)
    plots = every_plot(run, summary, manifest)
    first = [plots.pop(key) for key in ("completion-throughput", "ttft")]
    sections = list(_sections(run, summary, plots))
    return Page(
        title=identity(manifest),
        subtitle=circumstances(manifest),
        blocks=[
            verdict(summary, virtual=manifest.clock == "virtual"),
            cards(run, summary, num_gpus=manifest.settings.num_gpus),
            *first,
            *_decisions(summary),
            *sections,
            *_sureness(summary, manifest),
            Section("Workload", [shape_table(run, manifest)]),
            Section("Client and engine", [Facts(_by_word(facts(summary))), *_engine(summary)]),
            Section("Run", [Facts(dict(_facts(manifest)))]),
            Section("Config", [_config(manifest.config)], folded=True),
            Section("Glossary", [Facts(_glossary())], folded=True, printed=False),
        ],
        footer=FOOTER.format(rows=len(columns), version=manifest.trie_version),
        further_plots=list(plots.values()),
    )


def _decisions(summary: Summary) -> Iterator[Section]:
    """Objectives, goodput and cost, where there are any."""
    blocks = list(decision_blocks(summary))
    if blocks:
        yield Section("Objectives and cost", blocks)


def _sureness(summary: Summary, manifest: Manifest) -> Iterator[Section]:
    blocks = list(sureness_blocks(summary, manifest.workload.traces))
    if blocks:
        yield Section("How sure", blocks)


def measured(columns: Columns, summary: Summary, manifest: Manifest) -> Measured:
    """What the plots and the numbers of a page are of."""
    sessions, stream = traces(columns), manifest.settings.stream
    return Measured(
        columns=columns,
        sessions=sessions,
        points=Points.of(columns),
        requests=per_request(columns, stream=stream),
        of_traces=per_trace(columns, sessions, stream=stream),
        wall_time_s=summary.wall_time_s,
    )


def every_plot(run: Measured, summary: Summary, manifest: Manifest) -> dict[str, Plot]:
    """All plots of a run by key; the page shows nine at most, and `trie report --plots` writes them all."""
    wall, columns, sessions = run.wall_time_s, run.columns, run.sessions
    steady = run.points.steady_window() or (0.0, wall)
    intervals = timeline(columns, steady, wall_time_s=wall, most=INTERVALS, slots=SLOTS)
    plots = [
        *time_plots(
            columns,
            run.points,
            sessions,
            rates=summary.workload,
            wall_time_s=wall,
            configured=_configured(manifest.settings, summary),
        ),
        ttft_distribution(columns, run.requests["ttft_s"]),
        tpot_distribution(run.requests),
        latency_distribution(run.requests),
        trace_distribution(run.of_traces, sessions, wall_time_s=wall),
        ttft_against_new_tokens(columns),
        cache_hits_by_turn(columns),
        traces_by_slot(columns, intervals),
        outcomes_over_time(columns, wall_time_s=wall),
        client_over_time(columns, wall_time_s=wall),
    ]
    return {plot.key: plot for plot in plots}


def _configured(settings: Settings, summary: Summary) -> list[tuple[int, tuple[float, float] | None]]:
    """The numbers of active traces that were asked for: one of a closed loop, each level of a ramp, none elsewhere."""
    if summary.load is not None:
        return [(level.active_traces, (level.from_s, level.to_s)) for level in summary.load.levels]
    return [(settings.slots, None)]


def _sections(run: Measured, summary: Summary, plots: dict[str, Plot]) -> Iterator[Section]:
    """What follows the first screen; takes the plots that it shows out of `plots`."""
    yield Section("Latency", [plots.pop("tpot"), plots.pop("trace-latency")])
    yield Section("Cache", [plots.pop("cache-by-turn"), plots.pop("ttft-by-new-tokens")])
    yield Section("Load", [plots.pop("phases"), plots.pop("timeline")])
    if summary.requests["failed"] or summary.traces["failed"]:
        failures: list[Block] = [outcomes_table(summary), plots.pop("outcomes"), *errors_tables(run.columns)]
        yield Section("Failures", failures)
    elif summary.client.suspect_share:
        yield Section("The client was late", [plots.pop("client-lateness")])
    yield Section("Numbers", list(tables(summary)))


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


def _glossary() -> dict[str, str | None]:
    """The words, and every metric of the page's tables."""
    metrics = [metric for section in (WORKLOAD, PER_TRACE, PER_REQUEST) for metric in declared(section)]
    return {**WORDS, **{metric.heading: metric.definition for metric in metrics}}


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
