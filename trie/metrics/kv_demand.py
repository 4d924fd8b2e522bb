"""How much KV cache the active traces hold together, beside how much the server has."""

from __future__ import annotations

import numpy as np

from trie.config.sim import UNSEEN_BLOCKS
from trie.engines.detect import kv_capacity_beside
from trie.metrics.columns import Columns
from trie.storage.manifest import Manifest
from trie.workload.closed_loop import Held


def held_kv(columns: Columns, since: float, until: float) -> Held:
    """KV tokens of the active traces: prompts from their first token on, answers from their end on.

    Prefixes that traces share are left out: a cache holds them once.
    """
    reported = columns["usage_prompt_tokens"]
    planned = columns["cached_prompt_tokens"] + columns["new_prompt_tokens"]
    prompt = np.where(np.isnan(reported), planned, reported)
    context = prompt + columns.completion_tokens
    before = np.r_[0.0, context[:-1]]
    before[columns.first_of_session] = 0.0
    after = context.copy()
    after[columns.last_of_session] = 0.0
    joins, leaves = prompt - before, after - prompt
    shared = np.nan_to_num(columns["shared_prefix_tokens"])[columns.first_of_session]
    joins[columns.first_of_session] -= shared
    leaves[columns.last_of_session] += shared
    first = np.where(np.isnan(columns["first_token_s"]), columns["sent_s"], columns["first_token_s"])
    times = np.concatenate([first, columns["end_s"]])
    order = np.argsort(times, kind="stable")
    tokens = np.cumsum(np.concatenate([joins, leaves])[order])
    return Held.over(times[order], tokens, since, until)


def kv_capacity(manifest: Manifest) -> int | None:
    """Tokens that the server's KV cache holds, where it is known; of several servers it is not."""
    server, sim = manifest.server, manifest.settings.sim
    if server.embedded:
        seen = sim.measured_batch is None or (sim.cache_blocks or 0) < UNSEEN_BLOCKS
        return sim.cache_blocks * sim.block_tokens if seen and sim.cache_blocks and sim.block_tokens else None
    capacity = kv_capacity_beside(server.facts)
    if capacity is None or server.replicas:
        return None
    growth = None if manifest.end is None else manifest.end.engine
    return capacity * max(growth.engines if growth else 1, 1)
