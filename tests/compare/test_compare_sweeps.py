"""Sweeps side by side: which cell is compared with which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.known_servers import Server, written

from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.compare.gates import parse
from trie.config import ConcurrencyConfig, SimConfig
from trie.errors import RunDirError

QUICK = Settings(resamples=100)


def cell(sweep: Path, name: str, concurrency: int = 8, server: Server | None = None, **settings: Any) -> Path:
    sweep.mkdir(exist_ok=True)
    (sweep / "multirun.yaml").touch()
    return written(sweep / name, server, wall_s=40.0, concurrency=ConcurrencyConfig(concurrency), **settings)


def test_cells_are_matched_by_workload_and_concurrency(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for number in (2, 4):
        cell(a, f"w-c{number}-11111111", number)
    for number in (4, 8):
        cell(b, f"w-c{number}-22222222", number, Server(step_s=0.02))
    found = compare([a, b], QUICK, [parse("decode_tps.mean < -10%")])
    assert list(found.cells) == ["w c4"]
    assert sorted(found.alone) == ["A has no w c8", "B has no w c2"]
    assert [gate.failed for gate in found.pairs[0].gates] == [True]
    assert found.to_json()["failed"] is True


def test_what_else_varies_within_a_sweep_tells_its_cells_apart(tmp_path: Path) -> None:
    """Two sizes of the cache under one load: each meets its own."""
    for sweep in ("a", "b"):
        for blocks in (64, 128):
            cell(tmp_path / sweep, f"w-c8-{blocks:08}", sim=SimConfig(cache_blocks=blocks))
    found = compare([tmp_path / "a", tmp_path / "b"], QUICK)
    assert list(found.cells) == ["w c8 sim.cache_blocks=64", "w c8 sim.cache_blocks=128"]
    for pair in found.pairs:
        assert pair.baseline.path.name == pair.candidate.path.name


def test_a_cell_that_is_not_done_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    for sweep in ("a", "b"):
        cell(tmp_path / sweep, "w-c2-11111111", 2)
        cell(tmp_path / sweep, "w-c4-11111111", 4)
    (tmp_path / "b" / "w-c4-11111111" / "manifest.json").write_text("{")
    found = compare([tmp_path / "a", tmp_path / "b"], QUICK)
    assert list(found.cells) == ["w c2"]
    assert found.alone[0].startswith("B: w-c4-11111111 is damaged: ")
    assert found.alone[1:] == ["B has no w c4"]


def test_a_run_beside_a_sweep_is_a_sweep_of_one(tmp_path: Path) -> None:
    cell(tmp_path / "a", "w-c2-11111111", 2)
    cell(tmp_path / "a", "w-c4-11111111", 4)
    found = compare([tmp_path / "a", cell(tmp_path, "run", 4)], QUICK)
    assert list(found.cells) == ["w c4"]


def test_sweeps_without_a_common_cell_are_an_error_that_says_so(tmp_path: Path) -> None:
    cell(tmp_path / "a", "w-c2-11111111", 2)
    cell(tmp_path / "b", "w-c4-11111111", 4)
    with pytest.raises(RunDirError, match="no cell is in the baseline and in another; B has no w c2; A has no w c4"):
        compare([tmp_path / "a", tmp_path / "b"], QUICK)


def test_several_candidates_each_meet_the_baseline(tmp_path: Path) -> None:
    paths = [cell(tmp_path, name) for name in "abc"]
    found = compare(paths, QUICK)
    assert [(pair.baseline.label, pair.candidate.label) for pair in found.pairs] == [("A", "B"), ("A", "C")]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match=r"holds no manifest\.json"):
        compare([cell(tmp_path, "a"), tmp_path / "a" / "requests"], QUICK)
