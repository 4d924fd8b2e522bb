"""Hydra's launchers: cells in processes of their own, with servers of their own, and the key in no file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from helpers.command_line import Command, Endpoint, in_a_process, serving

from trie.cli import launchers
from trie.config import RunConfig
from trie.storage import sweep_dir
from trie.storage.sweep_dir import Status
from trie.sweep.plan import Planned

FAST = ("duration=0.5", "tokenizer_model=words", "progress=none", "prompts.pool_tokens=16384")
MARKER = "sk-marker-4711"


@dataclass(frozen=True)
class Placed:
    planned: Planned
    config: RunConfig | None = None


def placed(name: str, status: Status | None = None) -> Placed:
    return Placed(Planned(name, row="", concurrency=1, repeat=1, duration_s=1.0, status=status))


def test_what_is_done_leaves_the_batches_of_a_resumed_sweep_as_they_were() -> None:
    """Endpoints a and b, two at once: were the batches cut anew, a2 and a3 would run beside each other."""
    done = Status.done
    cells = [placed("a1", done), placed("b1", done), placed("a2"), placed("b2", done), placed("a3"), placed("b3")]
    names = [[cell.planned.name for cell in batch] for batch in launchers.batches(cells, 2)]
    assert names == [["a2"], ["a3", "b3"]]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("concurrency=1,2", "endpoint=URL"), "URL: 2 cells run at once (JoblibLauncher)"),
        (("endpoint=URL,http://127.0.0.1:9/v1,URL/", "concurrency=1"), "URL: 3 cells run at once (JoblibLauncher)"),
        (("concurrency=1,2", f"api_key={MARKER}"), "api_key=(hidden): this launcher starts cells in other processes"),
        (
            ("concurrency=1,2", "duration=7200", "hydra/launcher=submitit_local"),
            "hydra.launcher.timeout_min=60: the launcher would kill cells of 2 h",
        ),
    ],
)
def test_what_a_launcher_would_spoil_is_refused_in_one_line_before_anything_ran(
    script: Command, endpoint: Endpoint, tmp_path: Path, typed: tuple[str, ...], message: str
) -> None:
    done = script("-m", "hydra/launcher=joblib", *(item.replace("URL", endpoint.url) for item in typed))
    assert (done.returncode, done.stdout) == (1, "")
    assert message.replace("URL", endpoint.url) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert MARKER not in done.stderr
    assert (list(tmp_path.iterdir()), endpoint.authorizations) == ([], [])


@pytest.mark.slow
def test_endpoints_are_measured_at_once_in_other_processes_and_the_rest_after_them(
    endpoint: Endpoint, workload_file: Path, tmp_path: Path
) -> None:
    """Four cells, two servers, two at once; all find the key, which is in no file, and a second command none to do."""
    with serving() as other:
        line = (
            *("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.max_batch_size=2"),
            *("hydra.sweep.dir=s", f"workload=./{workload_file.name}", "concurrency=1,2"),
            f"endpoint={endpoint.url},{other.url}",
        )
        command = partial(in_a_process, tmp_path, sys.executable, "-m", "trie", *line, *FAST, OPENAI_API_KEY=MARKER)
        first, second = command(), command()
        seen = {*endpoint.authorizations, *other.authorizations}
    assert (first.returncode, second.returncode) == (0, 0)
    cells = sweep_dir.find(tmp_path / "s")
    assert [cell.status for cell in cells] == [Status.done] * 4
    assert [line for line in first.stdout.splitlines() if line.startswith("cell 4 of 4  mine-c2-")]
    assert "4 done before, nothing to do" in second.stdout
    assert seen == {f"Bearer {MARKER}"}
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and MARKER.encode() in file.read_bytes()]


@pytest.mark.slow
def test_submitit_gives_each_cell_an_embedded_endpoint_and_strict_counts(tmp_path: Path) -> None:
    """Cells of half a second are invalid."""
    line = ("-m", "hydra/launcher=submitit_local", "hydra.sweep.dir=s", "concurrency=1,2", "profile=fast", *FAST)
    done = in_a_process(tmp_path, sys.executable, "-m", "trie", *line, "strict=true")
    assert (done.returncode, done.stderr) == (3, "")
    cells = sweep_dir.find(tmp_path / "s")
    assert [cell.status for cell in cells] == [Status.done] * 2
    assert len({cell.manifest.server.base_url for cell in cells if cell.manifest is not None}) == 2
