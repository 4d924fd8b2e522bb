"""What a run in virtual time starts from: nothing is asked and nothing is sent, so there is nothing to verify."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager

import trie
from trie.config import RunConfig
from trie.endpoint.request_body import REASONING
from trie.engines.detect import Finding
from trie.preflight.discovery import Discovery, ModelList
from trie.preflight.idle import EngineState
from trie.preflight.limits import fitting
from trie.preflight.pilot import simulated_pace
from trie.preflight.prompt_lengths import LengthCheck
from trie.preflight.rtt import Rtt
from trie.preflight.steps import Prepared
from trie.prompts.builder import Prompts
from trie.prompts.exact_text import Pieces
from trie.workload.trace import Workload

log = logging.getLogger("trie")
NO_SERVER = Finding("sim", trie.__version__, ("virtual time", "no server was started"))
EXACT = "lengths are those of the traces: nothing is sent in virtual time"


class _NoTexts:
    """In virtual time a prompt is its length."""

    def texts(self, lengths: Sequence[int], key: Hashable) -> tuple[Pieces, ...]:
        raise NotImplementedError


@asynccontextmanager
async def prepared_virtually(config: RunConfig, workload: Workload) -> AsyncIterator[Prepared]:
    """All that a run in virtual time needs; the log says that no server is measured.

    Raises:
        WorkloadError: for traces that the model's context can't hold.
    """
    log.warning("virtual time: the model of profile %s is replayed against, no server is measured", config.sim.profile)
    yield preparation(config, workload)


def preparation(config: RunConfig, workload: Workload) -> Prepared:
    """The same without a word.

    Raises:
        WorkloadError: for traces that the model's context can't hold.
    """
    context, model = config.sim.max_model_len, config.sim.model
    return Prepared(
        config=config,
        workload=fitting(
            workload, context, skip=config.workload.skip_too_long, reasoning_back=config.history == REASONING
        ),
        servers=(),
        beside=(),
        discoveries=(Discovery(ModelList((model,), (context,), "trie-sim"), NO_SERVER, {}),),
        dialect_settings={},
        model=model,
        context=context,
        rtt=Rtt(None, None, None, None),
        seed=secrets.randbits(48) if config.seed is None else config.seed,
        prompts=Prompts("none", "no texts (virtual time)", "none", _NoTexts()),
        length_check=LengthCheck(None, EXACT),
        warm_up=None,
        engine_state=EngineState(None, cache_reset=False),
        pace=simulated_pace(config) if config.warms_up else None,
    )
