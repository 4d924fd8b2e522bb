"""What a cell of a sweep is expected to give: its run in virtual time, against the model of a profile."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from trie.config import Clock, EndpointConfig, RunConfig, SimConfig
from trie.config.sim import UNSEEN_BLOCKS
from trie.config.stop_when import SLO
from trie.metrics.checks.circumstances import BEYOND
from trie.metrics.columns import Columns
from trie.metrics.kv_demand import held_kv
from trie.metrics.stop_rule import Look
from trie.metrics.traces import Traces, traces
from trie.preflight.steps import Prepared
from trie.preflight.virtual import preparation
from trie.replay.virtual_looks import VirtualLooks
from trie.replay.virtual_run import VirtualRun
from trie.storage.parquet_parts import to_table
from trie.storage.record import RequestRecord
from trie.workload.closed_loop import Held
from trie.workload.trace import Workload


@dataclass(frozen=True, slots=True)
class CellForecast:
    """Of a run that no server was measured in."""

    profile: str
    traces_started: int
    traces_completed: int
    traces_failed: int
    cut_off_share: float  # of the traces started: those that the deadline cancels
    completion_tok_s: float  # over the whole run
    cache_hit_rate: float | None  # cached prompt tokens / prompt tokens, of requests that ended well
    kv_tokens: Held  # of the active traces, once the first fifth of the run is over
    kv_capacity_tokens: int | None  # of the profile; None: it was fitted to runs in which nothing was evicted
    in_flight_requests: float  # on average
    measured_batch: float | None  # the largest that the profile was fitted to; None: it was not fitted
    lasts_s: float  # until its duration is over, or stop_when is fulfilled
    precision: float | None  # half the interval of completion tok/s then, as a share; None: too short for one
    needs_s: float | None  # how long it would have to last for 2 %, or for what stop_when wants

    @property
    def beyond_fit(self) -> bool:
        """The load is above all that the profile was fitted to."""
        return self.measured_batch is not None and self.in_flight_requests > BEYOND * self.measured_batch

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return asdict(self)


HEADLINE = "completion_tok_s within 2%"


class _Memory:
    """Keeps rows where a run would write them."""

    def __init__(self) -> None:
        self.rows: list[RequestRecord] = []

    def write(self, records: list[RequestRecord]) -> None:
        self.rows += records

    def close(self) -> None:
        """There is nothing to close."""


def forecast(config: RunConfig, workload: Workload) -> CellForecast:
    """Simulate the run that a cell describes.

    Raises:
        WorkloadError: for traces that the model's context can't hold.
        ConfigError: for what has no answer in virtual time.
    """
    memory = _Memory()
    ready = preparation(_virtual(config), workload)
    wall_time_s = VirtualRun(ready, memory).simulate()
    columns = Columns(to_table(memory.rows))
    sessions = traces(columns)
    ok = columns.outcome("ok")
    prompt_tokens = float(np.nansum(columns["usage_prompt_tokens"][ok]))
    cached_tokens = columns.cached_tokens[ok]
    full_until = _full_until(config, sessions, wall_time_s)
    sure = _look(ready, memory.rows, wall_time_s)
    reported = prompt_tokens > 0 and not np.isnan(cached_tokens).all()
    return CellForecast(
        profile=config.sim.profile,
        traces_started=len(sessions.completed),
        traces_completed=int(sessions.completed.sum()),
        traces_failed=int(sessions.failed.sum()),
        cut_off_share=float(sessions.cancelled.mean()),
        completion_tok_s=float(columns.completion_tokens[ok].sum()) / wall_time_s,
        cache_hit_rate=float(np.nansum(cached_tokens)) / prompt_tokens if reported else None,
        kv_tokens=held_kv(columns, full_until / 5, full_until),
        kv_capacity_tokens=_capacity(config.sim),
        in_flight_requests=float((columns["end_s"] - columns["sent_s"]).sum()) / wall_time_s,
        measured_batch=config.sim.measured_batch,
        lasts_s=wall_time_s,
        precision=sure.reached[0].share,
        needs_s=sure.needs_s,
    )


def _look(ready: Prepared, rows: list[RequestRecord], now_s: float) -> Look:
    """How sure the completion tok/s is at the end, and what stop_when wants."""
    wanted = ready.config.stop_when
    looks = VirtualLooks(ready, HEADLINE if wanted in (None, SLO) else f"{HEADLINE} and {wanted}")
    looks.add(rows)
    return looks.of_targets(now_s)


def _capacity(sim: SimConfig) -> int | None:
    """Tokens that the cache holds, where that is known."""
    seen = sim.measured_batch is None or sim.cache_blocks < UNSEEN_BLOCKS
    return sim.cache_blocks * sim.block_tokens if seen else None


def _virtual(config: RunConfig) -> RunConfig:
    """The run against the model: of a real endpoint it is assumed that answers are as long as they are asked for."""
    if config.clock is Clock.virtual:
        return config
    endpoint = config.endpoint
    if endpoint.base_url is not None:
        endpoint = EndpointConfig(name="sim", ignore_eos=True)
    return replace(config, clock=Clock.virtual, endpoint=endpoint, reset_cache=False, stall_timeout=None)


def _full_until(config: RunConfig, sessions: Traces, wall_time_s: float) -> float:
    """Until when all slots have a trace."""
    last_start = float(sessions.began_s.max())
    return wall_time_s if config.max_traces is None or not last_start else last_start
