"""Sentences about a run that stand on the terminal and on its page: set-up, counts, the words of the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from trie.metrics.definitions import Section, declared, metric_of, number_of
from trie.metrics.sections import Cache, Censoring, Client, Drift, LoadServed, Workers
from trie.metrics.shown_numbers import MARK, Values, cut_off_share, marked
from trie.metrics.summary import Summary
from trie.report.engine import engine_lines
from trie.report.number_format import MISSING, fine, percent, short
from trie.storage.manifest import ClientCalibration, End, Manifest, Server, Settings

FULL_CPU = 0.9  # share of a core from which a client was the limit
STAND_IN = "synthetic stand-in"
EXPECTED = "expected by the trace's accounting, not measured"


def head(manifest: Manifest) -> Iterable[tuple[str, str]]:
    """What was run, each under a word."""
    settings, server, workload, prompts = manifest.settings, manifest.server, manifest.workload, manifest.prompts
    label = f" [{STAND_IN}]" if workload.synthetic else ""
    skipped = workload.skipped_too_long
    without = f" ({skipped} more skipped: too long for the model's context)" if skipped else ""
    imported = f" (imported from {workload.imported.get('format')})" if workload.imported else ""
    yield "workload", f"{workload.name}{label}: {workload.traces} traces{without}, {workload.source}{imported}"
    where = "embedded endpoint (simulated)" if server.embedded else _server(server)
    if settings.clock == "virtual":
        where = f"none was measured: virtual time, {simulated_by(settings)}"
    mode = "streaming" if settings.stream else "not streaming"
    yield "server", f"{where}, model {server.model}, {settings.endpoint.api}, {mode}"
    finding = prompts.finding or f"offset {prompts.offset_tokens} tokens"
    form = "" if prompts.form == "text" else ", as token ids"
    note = f"; {prompts.form_note}" if prompts.form_note else ""
    yield "prompts", f"{prompts.name}{form}, seed {manifest.seed}: {finding}{note}"
    yield "load", f"{load_name(settings)}, duration {settings.duration:g} s{_early(manifest.end)}"


def load_name(settings: Settings) -> str:
    """What load a run asked for, in a few words."""
    load = settings.load
    if load.is_open:
        rate = f"as recorded, {load.speed:g} times as fast" if load.shape == "schedule" else f"{load.rate:g} traces/s"
        return f"load {load.shape}, {rate}, at most {load.max_active} active"
    if load.shape == "ramp":
        return f"ramp {', '.join(map(str, load.levels))} active traces"
    start = "" if settings.start == "together" else f", start {settings.start}"
    return f"concurrency {settings.concurrency.value}{start}"


def simulated_by(settings: Settings) -> str:
    """Whose numbers those of a run in virtual time are."""
    return f"the embedded endpoint's model with profile {settings.sim.profile}"


def _server(server: Server) -> str:
    """Where it is, which engine it seems to be, how far away."""
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
    if end.reason == "precise":
        return f", ended after {end.wall_time_s:.0f} s, when it was precise enough: {end.detail}"
    return "" if end.reason == "deadline" else f", ended after {end.wall_time_s:.1f} s by {end.reason}"


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
    yield from _load(summary.load)
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


def _load(load: LoadServed | None) -> Iterable[tuple[str, str]]:
    """How an open load was served, or each level of a ramp."""
    if load is None:
        return
    for number, level in enumerate(load.levels):
        line = (
            f"{level.active_traces} active traces from {level.from_s:.0f} to {level.to_s:.0f} s: {level.requests} "
            f"requests, completion {short(level.completion_tok_s)} tok/s, request TTFT p50 {fine(level.ttft_p50_s)} s, "
            f"p90 {fine(level.ttft_p90_s)} s"
        )
        yield ("ramp" if not number else "", line)
    if load.waited is not None:
        due = MISSING if load.traces_due is None else str(load.traces_due)
        line = (
            f"{due} traces due, {percent(load.waited_share)} waited for a slot (p90 {fine(load.wait_p90_s)} s, at most "
            f"{fine(load.wait_max_s)} s), {load.not_begun or 0} never began; later half: {load.late_due} due, "
            f"{load.late_ended} ended; latency, TTFT and TTFAT of traces count from when they were due"
        )
        yield "load", line


def _counts(summary: Summary) -> Iterable[tuple[str, str]]:
    yield "traces", ", ".join(f"{count} {outcome}" for outcome, count in summary.traces.items())
    counts = ", ".join(f"{count} {outcome}" for outcome, count in summary.requests.items())
    errors = ", ".join(f"{kind} {count}" for kind, count in summary.errors.items())
    yield "requests", f"{counts}; {summary.retries} retries" + (f"; errors: {errors}" if errors else "")


def _further(summary: Summary) -> Iterator[str]:
    """The declared numbers that were measured and that no sentence speaks of."""
    for path, value in summary.others.items():
        if value is not None and (number := number_of(path)) is not None:
            yield f"{number.name} {fine(number.shown(value))} {number.display.unit}"


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
    left_out = (
        f"; hit rates of {cache.traces_measured} traces, {cache.traces_left_out} left out"
        if cache.traces_measured and cache.traces_left_out
        else ""
    )
    shared = cache.shared_prefix_hit_rate_pct
    prefixes = "" if shared is None else f"; {short(shared)} % of the shared prefixes that had been sent before"
    return (
        f"{short(cache.hit_rate_pct)} % token-weighted; eligible ceiling {short(cache.eligible_ceiling_pct)} %; "
        f"first requests with hits {percent(cache.turn0_hit_share)}{prefixes}{left_out}"
    )


def _censoring(censoring: Censoring) -> str:
    first = (censoring.ttft_km_p50_s, censoring.ttfat_km_p50_s)
    ttft = f"TTFT p50 {fine(first[0])} s, TTFAT p50 {fine(first[1])} s, " if any(first) else ""
    return (
        f"{percent(censoring.share)} of the traces cut off at {percent(censoring.progress)} of their requests, "
        f"{percent(censoring.incomplete_share)} cut off or failed; with them, by Kaplan-Meier: {ttft}latency p50 "
        f"{short(censoring.latency_km_p50_s)} s, p90 {short(censoring.latency_km_p90_s)} s"
    )


def marked_note(section: Section, values: Values) -> str | None:
    """What the mark at metrics of a section means; None where none has it."""
    shares = [cut_off_share(metric, values) for metric in declared(section) if marked(metric, values)]
    if not shares:
        return None
    return (
        f"{MARK} of {section.over} alone, which are the short ones: {percent(shares[0])} were cut off or failed. "
        "Censoring has estimates with those."
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
    if lag_s is None and client.cpu_share is None:
        yield "client", f"CPU time and lateness not measured, suspect requests {percent(client.suspect_share)}"
        return
    yield (
        "client",
        (
            f"{percent(client.cpu_share)} of a core{_worst(client)}, event loop late by "
            f"{short(None if lag_s is None else lag_s * 1e3)} ms at p99, "
            f"suspect requests {percent(client.suspect_share)}"
        ),
    )
    if client.calibration is not None:
        for line in client_lines(client.calibration):
            yield "", line


def _worst(client: Client) -> str:
    return f" (the worst of {client.workers} workers)" if client.workers else ""


def client_lines(calibration: ClientCalibration) -> Iterable[str]:
    """The result of a calibration: the client's error at a load, and the most it can read."""
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


def warnings_of(summary: Summary) -> str:
    """How many warnings the verdict has, in words; empty without any."""
    number = sum(not check.ok and check.level == "warning" for check in summary.verdict)
    return f"{number} warning{'s' if number > 1 else ''}" if number else ""
