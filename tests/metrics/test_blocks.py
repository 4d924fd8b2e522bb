"""A run of very many rows is worked on block by block: its numbers and its page are those of the whole run at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from helpers.generated_runs import generated_manifest, rows

from trie.metrics.columns import Columns
from trie.metrics.summary import summarize
from trie.report.page import run_page

EXACT = 1e-9  # a sum of sums differs in its last digits


def same(whole: Any, in_blocks: Any, path: str = "") -> None:
    if isinstance(whole, Mapping):
        assert list(whole) == list(in_blocks), path
        for key, value in whole.items():
            same(value, in_blocks[key], f"{path}.{key}")
    elif isinstance(whole, list | tuple):
        assert len(whole) == len(in_blocks), path
        for place, (one, other) in enumerate(zip(whole, in_blocks, strict=True)):
            same(one, other, f"{path}[{place}]")
    elif isinstance(whole, float) and not isinstance(in_blocks, str):
        assert in_blocks == pytest.approx(whole, rel=EXACT, abs=1e-7), path
    else:
        assert whole == in_blocks, path


def test_blocks_give_the_numbers_and_the_plots_of_the_whole() -> None:
    about, table = generated_manifest(slots=12, duration_s=900.0), rows(6000, slots=12, duration_s=900.0)
    order = np.random.default_rng(1).permutation(table.num_rows)  # as rows of several workers may lie
    whole, blocks = Columns(table), Columns(table.take(order), block_rows=500)
    assert len(list(blocks.blocks())) > 5
    summary, in_blocks = summarize(whole, about), summarize(blocks, about)
    same(json.loads(json.dumps(summary.to_json())), json.loads(json.dumps(in_blocks.to_json())))
    assert run_page(blocks, in_blocks, about).html() == run_page(whole, summary, about).html()
