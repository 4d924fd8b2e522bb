"""A run of very many rows is worked on block by block: its numbers and its page are those of the whole run at once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
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
    about, table = generated_manifest(slots=6, duration_s=1800.0), rows(3600, slots=6, duration_s=1800.0)
    order = np.random.default_rng(1).permutation(table.num_rows)  # as rows of several workers may lie
    whole, blocks = Columns(table), Columns(table.take(order), block_rows=400)
    assert len(list(blocks.blocks())) > 5
    summary, in_blocks = summarize(whole, about), summarize(blocks, about)
    assert summary.certainty is not None
    assert summary.certainty.blocks
    assert summary.steadiness is not None
    assert summary.steadiness.blocks
    same(json.loads(json.dumps(summary.to_json())), json.loads(json.dumps(in_blocks.to_json())))
    assert run_page(blocks, in_blocks, about).html() == run_page(whole, summary, about).html()


def test_columns_in_files_leave_no_name_that_a_killed_process_could_leave_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    table = rows(3600, slots=6, duration_s=1800.0)
    columns = Columns(table, block_rows=400)
    times = np.concatenate(list(columns.of_blocks(lambda block: block["sent_s"])))
    assert np.array_equal(times, Columns(table)["sent_s"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_million_rows_have_the_numbers_that_pandas_finds() -> None:
    """In blocks, against plain pandas over the same rows: counts and tokens exactly, times to nine digits."""
    table, about = rows(1_000_000, slots=48, duration_s=72_000.0), generated_manifest(slots=48, duration_s=72_000.0)
    summary = summarize(Columns(table, block_rows=2**18), about)
    frame = table.to_pandas()
    ok = frame[frame.outcome == "ok"].sort_values("end_s", kind="stable")
    assert summary.requests == {name: int((frame.outcome == name).sum()) for name in ("ok", "failed", "cancelled")}
    sessions = frame.sort_values(["session_id", "turn"]).groupby("session_id")
    first, last = sessions.first(), sessions.last()
    done = last.is_final & (last.outcome == "ok")
    of = {
        ("per_request", "ttft_s"): ok.first_token_s - ok.sent_s,
        ("per_request", "latency_s"): ok.end_s - ok.sent_s,
        ("per_request", "max_gap_s"): ok.max_gap_s,
        ("per_trace", "latency_s"): (last.end_s - first.sent_s)[done],
        ("per_trace", "ttft_s"): (first.first_token_s - first.sent_s)[done],
    }
    for (section, key), values in of.items():
        stats = getattr(summary, section)[key]
        assert stats is not None
        expected = [values.mean(), *values.quantile([0.5, 0.9, 0.95, 0.99]), values.max(), values.notna().sum()]
        found = [stats.mean, stats.p50, stats.p90, stats.p95, stats.p99, stats.max, stats.n]
        assert found == pytest.approx(expected, rel=EXACT), key
    tokens = np.minimum(ok.requested_completion_tokens, ok.usage_completion_tokens).cumsum().to_numpy()
    steady = int(np.searchsorted(ok.end_s, 0.2 * ok.end_s.iloc[-1]))
    rates = summary.workload["completion_tok_s"]
    assert rates.overall == pytest.approx(tokens[-1] / 72_000.0, rel=EXACT)
    window_s = ok.end_s.iloc[-1] - ok.end_s.iloc[steady]
    assert rates.steady_state == pytest.approx((tokens[-1] - tokens[steady]) / window_s, rel=EXACT)
