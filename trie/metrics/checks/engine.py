"""Checks of the engine by its own counters, and of what its cache lost."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence
from trie.metrics.sections import EngineAccount, EngineCounts, RowCounts, TokenCounts

QUEUE_SHARE = 0.5  # of the engine's mean TTFT, above which a run measured its queue
QUEUE_S = 0.010  # below it a queue is none, whatever the TTFT
LOST_PCT = 5.0  # of the eligible tokens
OTHERS_SHARE = 0.01  # of the engine's tokens, above which there is a warning: health checks count too
OTHERS_ERROR_SHARE = 0.05  # above which the run measured the load of others as well
OUTSIDE_SHARE = 0.25  # of the client's mean TTFT
OUTSIDE_S = 0.010  # below it the network and an HTTP server are near

ONE_ADDRESS = "where several servers stand behind one address, endpoint.metrics_route=null"

NOT_PREEMPTING = Condition(
    "engine_not_preempting", "warning", "the engine preempted nothing", "the engine preempted requests"
)
SHORT_QUEUE = Condition(
    "short_queue", "warning", "requests did not queue in the engine", "requests queued in the engine"
)
CACHE_KEPT = Condition(
    "prefix_cache_kept", "warning", "the engine kept cached prefixes", "the engine lost cached prefixes"
)
RAN_THROUGHOUT = Condition(
    "engine_ran_throughout", "error", "the engine ran throughout", "the engine was restarted in the run"
)
COUNTED_ALL = Condition(
    "engine_counted_all",
    "error",
    "the engine counted what it answered",
    "the engine's counters hold less than its answers",
)
SERVED_THIS_RUN = Condition(
    "engine_served_this_run_alone", "error", "the engine served this run alone", "the engine served others in the run"
)
TTFT_OF_ENGINE = Condition(
    "ttft_is_the_engines", "warning", "TTFT is that of the engine", "much of TTFT passed outside the engine"
)
CONDITIONS = (
    RAN_THROUGHOUT,
    COUNTED_ALL,
    SERVED_THIS_RUN,
    TTFT_OF_ENGINE,
    NOT_PREEMPTING,
    SHORT_QUEUE,
    CACHE_KEPT,
)


def engine_checks(run: Evidence) -> Iterator[Check]:
    """Those that the engine does not count for are left out."""
    yield from _throughout(run)
    if run.summary.engine is not None:
        workers = () if run.manifest.end is None else run.manifest.end.workers
        yield from _others(run.summary.engine, rows_lost=any(worker.died is not None for worker in workers))
        yield from _outside(run.summary.engine)
        yield from _counters(run.summary.engine.counted)
    lost = run.summary.cache.lost_pct
    if lost is not None:
        yield CACHE_KEPT.check(
            lost <= LOST_PCT,
            f"{lost:.1f} % of the tokens that a cache could hold were computed again, beyond answers and blocks",
            "they were evicted, or another worker served the turn: more memory for the KV cache, less concurrency, or "
            "sticky sessions",
        )


def _throughout(run: Evidence) -> Iterator[Check]:
    growth = None if run.manifest.end is None else run.manifest.end.engine
    if growth is not None:
        yield RAN_THROUGHOUT.check(
            not growth.restarted,
            f"its counters began anew{f' ({growth.restart_evidence})' if growth.restart_evidence else ''}"
            if growth.restarted
            else "its counters went on from before the run to its end",
            f"see the engine's own log, and run again; {ONE_ADDRESS}",
        )


def _others(engine: EngineAccount, *, rows_lost: bool) -> Iterator[Check]:
    """Counters below the rows are not those of the run; what is beyond them, where all are there, is work of others."""
    disbelieved, rows = engine.disbelieved, engine.rows
    if disbelieved is not None:
        yield COUNTED_ALL.check(
            False,
            f"{_tokens(disbelieved)} were counted, {_tokens(rows)} answered: the counters are not believed",
            f"the engine was restarted, or these are the counters of one server of several; {ONE_ADDRESS}",
        )
    if (share := engine.others_share) is not None and not rows_lost:  # as those of a worker that died
        yield SERVED_THIS_RUN.check(
            share <= OTHERS_SHARE,
            f"{_tokens(engine.counted)} were counted, and this run can have caused at most "
            f"{_tokens(engine.own_at_most)}: at least {share:.1%} are the work of others",
            "the load of others is in every number: measure an engine that serves nobody else",
            level="warning" if OTHERS_SHARE < share <= OTHERS_ERROR_SHARE else "error",
        )


def _tokens(counts: EngineCounts | RowCounts | TokenCounts) -> str:
    prompt, completion = (
        "unknown" if count is None else f"{count:,.0f}" for count in (counts.prompt_tokens, counts.completion_tokens)
    )
    return f"{prompt} prompt and {completion} completion tokens"


def _outside(engine: EngineAccount) -> Iterator[Check]:
    """The client's mean TTFT less the engine's own: what no engine could make shorter."""
    ttft_s, outside_s = engine.rows.ttft_s, engine.difference.ttft_s
    if ttft_s and outside_s is not None:
        yield TTFT_OF_ENGINE.check(
            outside_s <= OUTSIDE_S or outside_s <= OUTSIDE_SHARE * ttft_s,
            f"{outside_s * 1e3:,.0f} of {ttft_s * 1e3:,.0f} ms to the first token ({outside_s / ttft_s:.0%}) passed "
            "before and behind the engine's own count",
            "it is the network, a gateway, the engine's HTTP server, or the client: measure from a host beside the "
            "engine, and see whether its HTTP server has a core",
        )


def _counters(counted: EngineCounts) -> Iterator[Check]:
    preemptions = counted.preemptions
    if preemptions is not None:
        yield NOT_PREEMPTING.check(
            preemptions == 0,
            f"preemptions of running requests: {preemptions:,.0f}",
            "their work was done again: lower the concurrency, or give the KV cache more memory",
        )
    queue_s, ttft_s = counted.queue_s, counted.ttft_s
    if queue_s is not None and ttft_s:
        yield SHORT_QUEUE.check(
            queue_s <= QUEUE_S or queue_s <= QUEUE_SHARE * ttft_s,
            f"{queue_s * 1e3:,.0f} of {ttft_s * 1e3:,.0f} ms to the first token passed in the engine's queue",
            "TTFT is that of a queue: lower the concurrency, or raise the engine's own limit of requests at a time",
        )
