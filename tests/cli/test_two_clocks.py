"""A run in real time and the same in virtual time: they differ by no more than the real client is late."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import Command

from trie.storage.run_dir import RunDir

LINE = (
    "workload=agentic-synthetic",
    "concurrency=8",
    "duration=60",
    "profile=fast",
    "sim.cache_blocks=6000",  # less than the contexts of eight sessions once they have grown
    "seed=3",
    "html=false",
    "progress=none",
)


def hit_rates(rows: pd.DataFrame) -> list[float]:
    """Of each quarter of a minute."""
    quarter = (rows.sent_s // 15).clip(upper=3)
    tokens = rows.groupby(quarter)[["usage_cached_tokens", "usage_prompt_tokens"]].sum()
    return list(tokens.usage_cached_tokens / tokens.usage_prompt_tokens)


@pytest.mark.slow
def test_both_clocks_tell_the_same_of_a_cache_that_thrashes(script: Command, tmp_path: Path):
    for clock in ("real", "virtual"):
        done = script(*LINE, f"clock={clock}", f"hydra.run.dir={clock}")
        assert done.returncode == 0, done.stdout + done.stderr
    real, virtual = (RunDir.open(tmp_path / clock).records().to_pandas() for clock in ("real", "virtual"))
    lag_s = json.loads((tmp_path / "real" / "manifest.json").read_text())["end"]["client"]["loop_lag_max_s"]
    both = real[real.outcome == "ok"].merge(virtual[virtual.outcome == "ok"], on=["session_id", "turn"])
    assert len(both) >= 0.95 * max((real.outcome == "ok").sum(), (virtual.outcome == "ok").sum())
    assert (both.usage_prompt_tokens_x == both.usage_prompt_tokens_y).all()
    later_s = (both.first_token_s_x - both.sent_s_x) - (both.first_token_s_y - both.sent_s_y)
    assert abs(np.median(later_s)) <= lag_s + 0.005
    tokens = [rows[rows.outcome == "ok"].requested_completion_tokens.sum() for rows in (real, virtual)]
    assert tokens[0] == pytest.approx(tokens[1], rel=0.03)
    rates = [hit_rates(rows[rows.outcome == "ok"]) for rows in (real, virtual)]
    assert rates[0] == pytest.approx(rates[1], abs=0.06)
    assert rates[1][3] < rates[1][0] - 0.15
