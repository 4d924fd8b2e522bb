"""How much KV the active traces hold, and how much a server has room for."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.columns import Columns
from trie.metrics.kv_demand import held_kv, kv_capacity
from trie.storage.parquet_parts import to_table


def test_a_prefix_that_traces_share_is_left_out() -> None:
    """Two traces of one request: 100 tokens of prompt, 60 of them shared, and 10 of the answer."""
    rows = [
        row(session, sent=0.0, ttft=1.0, latency=5.0, prompt=100, completion=10, shared_prefix_tokens=60)
        for session in (0, 1)
    ]
    held = held_kv(Columns(to_table(rows)), 1.0, 10.0)
    assert held.max == 2 * 40
    assert held.mean == pytest.approx(2 * 40 * 4 / 9)


@pytest.mark.parametrize(
    ("about", "tokens"),
    [
        ({"server": {"facts": {"kv_cache_size_tokens": 1000}}}, 1000),
        ({"server": {"facts": {"max_total_num_tokens": 2000}}}, 2000),
        ({"server": {"facts": {"kv_cache_size_tokens": 1000}}, "end": {"engine": {"engines": 2}}}, 2000),
        ({"server": {"facts": {"kv_cache_size_tokens": 1000}, "replicas": ["http://other:8000/v1"]}}, None),
        ({"server": {"embedded": True}, "sim": {"cache_blocks": 50, "block_tokens": 16}}, 800),
        ({}, None),
    ],
)
def test_the_room_that_a_server_has(about: dict[str, Any], tokens: int | None) -> None:
    assert kv_capacity(manifest(**about)) == tokens
