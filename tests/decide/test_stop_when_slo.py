"""A run ends once it is sure whether its objectives are met."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command_line import in_this_process

from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.student import t_quantile
from trie.metrics.slo.stop import wider
from trie.storage.run_dir import RunDir

VIRTUAL = ("clock=virtual", "profile=gpu", "workload=qa-synthetic", "concurrency=16", "duration=3600", "html=false")


def test_the_interval_that_decides_has_98_percent() -> None:
    estimate = Estimate(10.0, 8.0, 13.0, 1.0, 9.0)
    factor = t_quantile(0.99, 9.0) / t_quantile(0.975, 9.0)
    assert wider(estimate).low == pytest.approx(10.0 - 2.0 * factor)
    assert wider(estimate).high == pytest.approx(10.0 + 3.0 * factor)
    assert wider(Estimate(1.0)) == Estimate(1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("slo", "met"), [("tpot_s<5@p90", "yes"), ("tpot_s<0.001@p90", "no")])
def test_a_sure_answer_ends_the_run_before_its_deadline(tmp_path: Path, slo: str, met: str) -> None:
    directory = tmp_path / "run"
    in_this_process(tmp_path, *VIRTUAL, f"slo={slo}", "stop_when=slo", f"hydra.run.dir={directory}")
    run = RunDir.open(directory)
    end = run.manifest().end
    assert end is not None
    assert end.reason == "precise"
    assert end.wall_time_s < 3600.0
    assert [one["met"] for one in run.summary()["slo"]] == [met]


def test_stop_when_slo_takes_an_slo(tmp_path: Path) -> None:
    assert "must be set with slo=" in in_this_process(tmp_path, "stop_when=slo", "clock=virtual").stderr
