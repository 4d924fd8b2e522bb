"""Calibration: the client against the embedded endpoint's own account, and what a run's report cites of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.rows import planned_row
from helpers.run_directories import written_run

from trie.calibrate_client import Load, calibrate, load_of
from trie.cli.main import run
from trie.errors import ConfigError, RunDirError
from trie.storage.run_dir import RunDir


@pytest.mark.slow
def test_the_load_is_measured_against_the_endpoints_own_account() -> None:
    """What is asserted is what holds on any machine: figures of one experiment that fit together."""
    found = calibrate(Load(concurrency=20, chunks_s=2000.0, seconds=2.0))
    assert found.requests >= 20
    assert 0 < found.ttft_p50_s <= found.ttft_p99_s  # a chunk is read after it was written
    assert 0 < found.reached_chunks_s < 2000 * 1.1
    assert found.ceiling_chunks_s > found.reached_chunks_s
    assert found.share_of_ceiling == 2000.0 / found.ceiling_chunks_s
    assert 0 < found.cpu_share < found.ceiling_cpu_share


@pytest.mark.parametrize(
    ("load", "said"),
    [((0, 10.0, 2.0), "concurrency=0"), ((1, 0.5, 2.0), "rate=0.5"), ((1, 10.0, 0.1), "seconds=0.1")],
)
def test_a_load_that_is_none(load: tuple[int, float, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Load(*load)


def recorded(path: Path, *, chunks: int) -> RunDir:
    """A run of 100 s at concurrency 8 whose two requests had so many chunks each."""
    return written_run(path, [planned_row(session, chunks=chunks) for session in range(2)], summary=False)


def test_the_load_of_a_run_is_its_concurrency_and_its_chunks_over_its_time(tmp_path: Path) -> None:
    """2 x 10,000 chunks in 100 s."""
    load = load_of(recorded(tmp_path / "run", chunks=10_000))
    assert (load.concurrency, load.chunks_s) == (8, 200.0)


def test_a_run_without_a_stream_has_no_load(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="streamed nothing"):
        load_of(recorded(tmp_path / "run", chunks=0))


@pytest.mark.slow
def test_a_report_cites_the_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = recorded(tmp_path / "run", chunks=2000)
    assert run(["calibrate", str(kept.path), "--seconds", "2", "--rate", "1000", "--json"]) == 0
    out = capsys.readouterr().out  # with log lines in front where an earlier test of this process has set logging up
    printed, _ = json.JSONDecoder().raw_decode(out, out.index("{\n"))
    assert kept.summary()["client"]["calibration"] == printed
    assert run(["report", str(kept.path)]) == 0
    shown = capsys.readouterr().out
    assert "client error at 8 streams" in shown
    assert "of it" in shown
