"""A run's numbers as text: the two tables of the reference, what stands beside them, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.metrics.definitions import (
    PER_REQUEST,
    PER_TRACE,
    STATISTICS,
    WINDOWS,
    WORKLOAD,
    Section,
    declared,
    metric_of,
    number_of,
)
from trie.metrics.metric_names import numbers
from trie.metrics.sections import Cache, Censoring, Client, Drift, Workers
from trie.metrics.summary import Summary
from trie.one_line import printable
from trie.report.engine import engine_lines
from trie.report.number_format import MISSING, fine, percent, short
from trie.storage.manifest import ClientCalibration, End, Manifest, Server, Settings

WIDE = 118  # columns from which a table of all per-trace metrics fits side by side
FULL_CPU = 0.9  # share of a core from which a client was the limit
STAND_IN = "synthetic stand-in"
EXPECTED = "expected by the trace's accounting, not measured"


def starting_line(manifest: Manifest) -> str:
    """The log line at a run's start, with the reference's fields."""
    settings = manifest.settings
    facts: dict[str, Any] = {
        "concurrency": settings.concurrency.value,
        "duration": settings.duration,
        "model": manifest.server.model,
        "num_gpus": settings.num_gpus,
        "workload_templates": manifest.workload.traces,
    }
    return "starting benchmark " + _fields(facts)


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
    return "benchmark complete " + _fields(facts)


def _fields(facts: Mapping[str, Any]) -> str:
    return printable(" ".join(f"{key}={value}" for key, value in facts.items()))


def render(summary: Summary, manifest: Manifest, console: Console) -> None:
    """Print a run's report; fits 80 columns, and holds no control sequences of anybody else's."""
    print_lines(console, head(manifest))
    console.print()
    values = numbers(summary.to_json())
    _statistics(console, PER_TRACE, values)
    console.print()
    _workload(console, summary, values)
    console.print()
    _statistics(console, PER_REQUEST, values)
    console.print()
    print_lines(console, facts(summary))
    console.print()
    _verdict(console, summary)


def print_lines(console: Console, lines: Iterable[tuple[str, str]], style: str = "") -> None:
    """A word and what there is to say about it, wrapped beside the word."""
    for word, said in lines:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=10, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(word, style=style), Text(_encodable(printable(said), console)))
        console.print(grid)


def _encodable(text: str, console: Console) -> str:
    """The text in what the console can write: a pipe may be ASCII."""
    return text.encode(console.encoding, "replace").decode(console.encoding)


def head(manifest: Manifest) -> Iterable[tuple[str, str]]:
    """What was run, each under a word."""
    settings, server, workload, prompts = manifest.settings, manifest.server, manifest.workload, manifest.prompts
    label = f" [{STAND_IN}]" if workload.synthetic else ""
    skipped = workload.skipped_too_long
    without = f" ({skipped} more skipped: too long for the model's context)" if skipped else ""
    yield "workload", f"{workload.name}{label}: {workload.traces} traces{without}, {workload.source}"
    where = "embedded endpoint (simulated)" if server.embedded else _server(server)
    if settings.clock == "virtual":
        where = f"none was measured: virtual time, {simulated_by(settings)}"
    mode = "streaming" if settings.stream else "not streaming"
    yield "server", f"{where}, model {server.model}, {settings.endpoint.api}, {mode}"
    finding = prompts.finding or f"offset {prompts.offset_tokens} tokens"
    form = "" if prompts.form == "text" else ", as token ids"
    note = f"; {prompts.form_note}" if prompts.form_note else ""
    yield "prompts", f"{prompts.name}{form}, seed {manifest.seed}: {finding}{note}"
    yield "load", f"concurrency {settings.concurrency.value}, duration {settings.duration:g} s{_early(manifest.end)}"


def simulated_by(settings: Settings) -> str:
    """Whose numbers those of a run in virtual time are."""
    return f"the embedded endpoint's model with profile {settings.sim.profile}"


def _server(server: Server) -> str:
    """Where it is, who it is found to be, how far away."""
    dialect = server.dialect
    engine = "" if dialect is None else " ".join(part for part in (dialect.name, dialect.version) if part)
    more = f" and {len(server.replicas)} more" if server.replicas else ""
    away_s = None if server.rtt is None else server.rtt.connect_min_s
    near = "" if away_s is None else f", RTT {short(away_s * 1e3)} ms"
    return f"{server.base_url}{more}{f' ({engine})' if engine else ''}{near}"


def _early(end: End | None) -> str:
    """Why a run ended before its time, and when."""
    if end is None:
        return ", killed"
    return "" if end.reason == "deadline" else f", ended after {end.wall_time_s:.1f} s by {end.reason}"


def _statistics(console: Console, section: Section, values: Mapping[str, float | None]) -> None:
    """Statistics by metric: as the reference lays them out where there is room, turned over where there is not."""
    metrics = declared(section)
    units = {metric.display.unit for metric in metrics}
    title = f"{section.title} ({', '.join(units)})" if len(units) == 1 else section.title
    console.print(Text(title, style="bold"))
    labels = [metric.name if len(units) == 1 else metric.heading for metric in metrics]
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


def _workload(console: Console, summary: Summary, values: Mapping[str, float | None]) -> None:
    console.print(Text(WORKLOAD.title, style="bold"))  # the title and the next line as in the reference
    done, rate = summary.traces["completed"], summary.trace_per_s
    console.print(Text(f"completed={done}/{sum(summary.traces.values())} trace/s={short(rate, 3)}"))
    table = Table(box=HEAVY_HEAD, header_style="bold")
    table.add_column("Metric", no_wrap=True)
    for window in WINDOWS:
        table.add_column(window.label, justify="right")
    metrics = declared(WORKLOAD)
    for metric in metrics:
        table.add_row(metric.heading, *(short(number.shown(values.get(number.key))) for number in metric.numbers()))
    console.print(table)
    expected = ", ".join(metric.label for metric in metrics if metric.expected)
    console.print(Text(f"{expected}: {EXPECTED}", style="dim"))


def facts(summary: Summary) -> Iterable[tuple[str, str]]:
    """What stands beside the tables, each under a word."""
    yield from _counts(summary)
    if further := ", ".join(_further(summary)):
        yield "further", further
    yield "drift", _drift(summary.drift)
    yield "cache", _cache(summary.cache)
    yield "censoring", _censoring(summary.censoring)
    if summary.workers is not None:
        yield "workers", _workers(summary.workers)
    if summary.engine is not None:
        yield from zip(("engine", ""), engine_lines(summary.engine), strict=False)
    concurrency = summary.concurrency
    yield (
        "active",
        (
            f"{short(concurrency.active_traces)} of {concurrency.configured} traces active, "
            f"{short(concurrency.in_flight_requests)} requests in flight on average"
        ),
    )
    budget = {} if summary.budget is None else asdict(summary.budget)
    labels = {part.key: part.label for part in metric_of("budget").parts or ()}
    yield "time", ", ".join(f"{labels[key]} {percent(share)}" for key, share in budget.items()) or MISSING
    yield from _client(summary.client)


def _counts(summary: Summary) -> Iterable[tuple[str, str]]:
    yield "traces", ", ".join(f"{count} {outcome}" for outcome, count in summary.traces.items())
    counts = ", ".join(f"{count} {outcome}" for outcome, count in summary.requests.items())
    errors = ", ".join(f"{kind} {count}" for kind, count in summary.errors.items())
    yield "requests", f"{counts}; {summary.retries} retries" + (f"; errors: {errors}" if errors else "")


def _further(summary: Summary) -> Iterator[str]:
    """The declared numbers that no sentence speaks of."""
    for path, value in summary.others.items():
        if (number := number_of(path)) is not None:
            yield f"{number.name} {fine(number.shown(value))} {number.metric.display.unit}"


def _drift(drift: Drift) -> str:
    return (
        f"prompt {percent(drift.prompt_ratio, 2, sign=True)} "
        f"(at most {short(drift.prompt_max_abs_tokens, 0)} tokens a request), {_template(drift)}"
        f"completions short {percent(drift.completion_short_ratio, 2)}"
    )


def _template(drift: Drift) -> str:
    """The part of the drift that a chat's template makes."""
    if drift.template_ratio is None:
        return ""
    return (
        f"of it the template {percent(drift.template_ratio, 2, sign=True)} ({drift.template_first_tokens} tokens, "
        f"{drift.template_per_turn_tokens} more with each turn) and unexplained "
        f"{percent(drift.unexplained_ratio, 2, sign=True)} (at most {short(drift.unexplained_max_abs_tokens, 0)}), "
    )


def _cache(cache: Cache) -> str:
    return (
        f"{short(cache.hit_rate_pct)} % token-weighted; eligible ceiling "
        f"{short(cache.eligible_ceiling_pct)} %; first requests with hits {percent(cache.turn0_hit_share)}"
    )


def _censoring(censoring: Censoring) -> str:
    return (
        f"{percent(censoring.share)} of the traces cut off at {percent(censoring.progress)} of "
        f"their requests; Kaplan-Meier latency p50 {short(censoring.latency_km_p50_s)} s, "
        f"p90 {short(censoring.latency_km_p90_s)} s"
    )


def _workers(workers: Workers) -> str:
    """Who served how much, and what moving cost."""
    total = sum(workers.requests.values())
    shares = ", ".join(
        f"{name} {percent(number / total)} ({short(workers.hit_rate_pct[name])} % cached)"
        for name, number in workers.requests.items()
    )
    more = workers.count - len(workers.requests)
    served = f"{shares}{f', and {more} more' if more else ''}"
    if not workers.moved_turns:
        return served
    return (
        f"{served}; {workers.moved_turns} of {workers.turns} turns moved: "
        f"{short(workers.moved_hit_rate_pct)} % cached there, {short(workers.stayed_hit_rate_pct)} % in the others"
    )


def _client(client: Client) -> Iterable[tuple[str, str]]:
    lag_s = client.loop_lag_p99_s
    yield (
        "client",
        (
            f"{percent(client.cpu_share)} of a core, event loop late by "
            f"{short(None if lag_s is None else lag_s * 1e3)} ms at p99, "
            f"suspect requests {percent(client.suspect_share)}"
        ),
    )
    if client.calibration is not None:
        for line in client_lines(client.calibration):
            yield "", line


def client_lines(calibration: ClientCalibration) -> Iterable[str]:
    """What a calibration found: the client's error at a load, and the most it can read."""
    yield (
        f"client error at {calibration.concurrency} streams and {short(calibration.reached_chunks_s, 0)} chunks/s "
        f"({calibration.requests} requests): TTFT {calibration.ttft_p50_s * 1e3:+.2f} ms p50, "
        f"{calibration.ttft_p99_s * 1e3:+.2f} ms p99; decode time {percent(calibration.decode_p50, 2)} p50, "
        f"{percent(calibration.decode_p99, 2)} p99; {percent(calibration.cpu_share)} of a core"
    )
    limit = "its limit" if calibration.ceiling_cpu_share >= FULL_CPU else "the endpoint's limit, not the client's"
    yield (
        f"client ceiling {short(calibration.ceiling_chunks_s, 0)} chunks/s at "
        f"{percent(calibration.ceiling_cpu_share)} of a core ({limit}): "
        f"the load is {percent(calibration.share_of_ceiling)} of it"
    )


def _verdict(console: Console, summary: Summary) -> None:
    word, style = ("VALID", "bold green") if summary.valid else ("INVALID", "bold red")
    warnings = [check for check in summary.verdict if not check.ok and check.level == "warning"]
    counted = f" with {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
    console.print(Text.assemble(f"{'verdict':<11}", (word, style), counted))
    for check in summary.verdict:
        if not check.ok:
            line = f"{check.line}; {check.advice}"
            print_lines(console, [(f"  {check.level}", line)], style="red" if check.level == "error" else "yellow")
