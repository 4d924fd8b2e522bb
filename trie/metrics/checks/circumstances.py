"""Checks of a run's circumstances: how it ended, how long it lasted, what it replayed, who else was served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from trie.config.sim import UNSEEN_BLOCKS
from trie.metrics.checks.check import Check, Condition, Evidence
from trie.storage.manifest import FULL_LENGTH

LIMITS = frozenset({"max_failures", "max_failure_rate"})  # settings that end a run early
ORDERLY = FULL_LENGTH | {"max_traces"}  # ends of a run that went as it was meant to
BEYOND = 1.1  # of the largest batch that a profile was fitted to: the load is another one
STALE_S = 60.0  # a run shorter than this is a trial

ENDED_IN_ORDER = Condition("ended_in_order", "warning", "the run ended in order", "the end of the run is missing")
RAN_ITS_DURATION = Condition("ran_its_duration", "warning", "the run lasted its duration", "the run ended early")
WORKERS_LIVED = Condition("workers_lived", "error", "all workers lived to the end", "a worker died")
SERVER_MEASURED = Condition("server_measured", "warning", "a server was measured", "no server was measured")
WITHIN_FIT = Condition(
    "within_fit", "warning", "the profile was fitted to such loads", "the forecast goes beyond what was measured"
)
LONG_ENOUGH = Condition("long_enough", "warning", "the run was long enough", "the run was short")
WHOLE_WORKLOAD = Condition(
    "whole_workload", "warning", "the whole workload was replayed", "traces were left out of the workload"
)
ENGINE_TO_ITSELF = Condition(
    "engine_to_itself", "warning", "the engine served nobody else", "the engine served others as well"
)
ONE_ENGINE = Condition("one_engine", "warning", "all servers run the same engine", "the servers run different engines")
RECORDED_WORKLOAD = Condition(
    "recorded_workload", "warning", "the workload is recorded", "the workload is not recorded"
)
STREAMING = Condition("streaming", "warning", "answers were streamed", "answers were not streamed")
CONDITIONS = (
    ENDED_IN_ORDER,
    RAN_ITS_DURATION,
    WORKERS_LIVED,
    SERVER_MEASURED,
    WITHIN_FIT,
    LONG_ENOUGH,
    WHOLE_WORKLOAD,
    ENGINE_TO_ITSELF,
    ONE_ENGINE,
    RECORDED_WORKLOAD,
    STREAMING,
)


def end_checks(run: Evidence) -> Iterator[Check]:
    """How the run ended; nothing where it ended as it was meant to."""
    end = run.manifest.end
    if end is None:
        yield ENDED_IN_ORDER.check(
            False,
            f"the run was killed, or its disk was full, after about {run.summary.wall_time_s:.0f} of "
            f"{run.settings.duration:g} s: up to a second of rows and what was in flight are missing as well",
            "run it again before publishing",
        )
        return
    reason, lasted = end.reason, f"after {run.summary.wall_time_s:.0f} of {run.settings.duration:g} s"
    if reason in LIMITS:
        yield RAN_ITS_DURATION.check(
            False,
            f"ended by {reason}={getattr(run.settings, reason):g} {lasted}",
            f"fix what fails, or set another {reason}=...",
            level="error",
        )
    elif reason not in ORDERLY:
        yield RAN_ITS_DURATION.check(
            False,
            f"{reason.replace('_', ' ')} {lasted}",
            "run it again to its end",
            level="error" if reason == "endpoint_died" else "warning",
        )


def _workers(run: Evidence) -> Iterator[Check]:
    """A worker that dies takes its share of the load with it: the numbers are those of two loads."""
    workers = () if run.manifest.end is None else run.manifest.end.workers
    dead = [worker for worker in workers if worker.died is not None]
    if not workers:
        return
    lost = "; ".join(
        f"worker {worker.worker_id} on {worker.node} ({worker.died}) after {worker.wall_time_s or 0.0:.0f} s, with "
        f"{worker.slots} of {run.settings.slots} slots, {worker.lost_requests} requests in flight and up to a second "
        "of its rows"
        for worker in dead
    )
    yield WORKERS_LIVED.check(
        not dead,
        lost or f"{len(workers)} workers",
        "from then on the load was a smaller one: run it again",
    )


def circumstance_checks(run: Evidence) -> Iterator[Check]:
    """What a reader must know before comparing the numbers with others."""
    yield from _workers(run)
    yield from _clock(run)
    yield LONG_ENOUGH.check(
        run.summary.wall_time_s >= STALE_S,
        f"{run.summary.wall_time_s:.0f} s",
        "it is a trial: publish runs of half an hour or more",
    )
    yield from _workload(run)
    others = run.manifest.server.in_flight_before
    if others is not None:
        yield ENGINE_TO_ITSELF.check(
            others == 0,
            f"requests of others in flight at the start: {others}",
            "the load of others is in every number: measure an engine that serves nobody else",
        )
    engines = run.manifest.server.engines
    if engines:
        counted = ", ".join(f"{number} of {name}" for name, number in Counter(engines).items())
        yield ONE_ENGINE.check(
            len(set(engines)) == 1,
            f"{len(engines)} servers: {counted}",
            "every number is a mixture of them: measure each engine, and each version, in a run of its own",
        )
    if not run.settings.stream:
        yield STREAMING.check(False, "TTFT, TTFAT and decode speed are not measured", "stream=true")


def _clock(run: Evidence) -> Iterator[Check]:
    if run.settings.clock == "virtual":
        yield SERVER_MEASURED.check(
            False,
            f"the run is a simulation in virtual time, by the model with profile {run.settings.sim.profile}",
            "publish it as a forecast by that model, never as a measurement; clock=real measures",
        )
        measured, in_flight = run.settings.sim.measured_batch, run.summary.concurrency.in_flight_requests
        if measured is not None and in_flight is not None:
            yield WITHIN_FIT.check(
                in_flight <= BEYOND * measured,
                f"{in_flight:.1f} requests were in flight on average; the profile was fitted to batches of up to "
                f"{measured:g}{_cache(run.settings.sim.cache_blocks)}",
                "measure a run at a higher concurrency and fit again",
            )


def _cache(blocks: int | None) -> str:
    unseen = blocks is not None and blocks >= UNSEEN_BLOCKS
    return ", in which the cache was never full: hit rates are those of a cache that holds everything" if unseen else ""


def _workload(run: Evidence) -> Iterator[Check]:
    workload = run.manifest.workload
    skipped = workload.skipped_too_long
    if skipped:
        yield WHOLE_WORKLOAD.check(
            False,
            f"{skipped} of {skipped + workload.traces} traces are too long for the model's context",
            "the rest is a shorter workload: compare it only with runs that skipped the same traces",
        )
    if workload.synthetic:
        yield RECORDED_WORKLOAD.check(
            False,
            f"{workload.name} is a synthetic stand-in",
            "say so wherever the numbers go; use the recorded traces to compare with others",
        )
