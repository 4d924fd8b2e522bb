"""A wheel, built and installed where nothing else is, from which an experiment repository of one's own runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import ROOT

pytestmark = pytest.mark.slow
QUICK = ("progress=none", "duration=3")


def run(folder: Path, *command: str | Path) -> str:
    """Standard output of a command that has to succeed, in a folder, without anything of this checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "OPENAI_API_KEY"}}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=kept, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of an installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(folder, sys.executable, "-m", "build", "-q", "--wheel", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    run(folder, sys.executable, "-m", "venv", folder / "venv")
    run(folder, folder / "venv" / "bin" / "pip", "install", "-q", wheel)
    return folder / "venv" / "bin" / "trie"


def manifest(run_dir: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run_dir / "manifest.json").read_text())
    return found


def test_an_experiment_repository_of_ones_own(trie: Path, tmp_path: Path) -> None:
    """Its own experiment, sweep, workload and endpoint; runs, a replay, a comparison and the exports."""
    run(tmp_path, trie, "init", "home")
    home = tmp_path / "home"
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "1"]):
        run(home, "git", *command)
    commit = run(home, "git", "rev-parse", "HEAD").strip()

    output = run(home, trie, "-cd", "conf", "experiment=kv_cache", *QUICK)
    first = Path(output.rstrip().splitlines()[-1])
    assert first.parents[2] == home
    assert manifest(first)["repository"] == {"commit": commit, "dirty": False}
    assert manifest(first)["workload"]["name"] == "tickets"  # type: ignore[index]

    output = run(home, trie, f"experiment={first}/.hydra/config.yaml")
    replay = Path(output.rstrip().splitlines()[-1])
    assert manifest(replay)["seed"] == manifest(first)["seed"]

    small = run(home, trie, "-cd", "conf", "experiment=kv_cache", "sim.cache_blocks=64", *QUICK)
    second = Path(small.rstrip().splitlines()[-1])
    compared = run(home, trie, "compare", first, second, "--html", "c.html", "--fail-if", "requests.failed > 0")
    assert "setting: sim.cache_blocks: 65536 -> 64" in compared
    assert "gate passed" in compared
    assert (home / "c.html").stat().st_size > 100_000

    composed = run(home, trie, "-cd", "conf", "experiment=kv_cache", "endpoint=server", "--cfg", "job")
    assert "base_url: http://localhost:8000/v1" in composed
    run(home, trie, "-cd", "conf", "experiment=kv_cache", "sweep=load", "concurrency=2,3", *QUICK)
    cells = {re.sub(r"-\w{8}$", "", path.parent.name) for path in home.glob("multirun/*/*/summary.json")}
    assert cells == {"tickets-c2", "tickets-c3"}

    for name in ("vllm", "aiperf", "csv"):
        assert run(home, trie, "export", first, "--format", name)


def test_configs_of_a_repository_elsewhere_state_its_commit(trie: Path, tmp_path: Path) -> None:
    run(tmp_path, trie, "init", "home")
    run(tmp_path / "home", "git", "init", "-q")
    output = run(tmp_path, trie, "-cd", "home/conf", "progress=none", "duration=1")
    found = manifest(Path(output.rstrip().splitlines()[-1]))
    assert found["repository"] == {"commit": None, "dirty": True}
