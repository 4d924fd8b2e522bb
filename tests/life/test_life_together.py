"""Two runs at once: into one folder goes one of them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from helpers.run_process import run

from trie.cli.beforehand import claim
from trie.errors import RunDirError


@pytest.mark.slow
def test_of_two_runs_into_one_folder_one_is_refused(tmp_path: Path) -> None:
    settings = ("profile=fast", "duration=1", "concurrency=2")
    with run(tmp_path, *settings) as one, run(tmp_path, *settings) as other:
        ended = sorted([one.ended(), other.ended()])
    assert ended == [(0, ""), (1, f"trie: {tmp_path}/run: holds a run already; choose another hydra.run.dir=\n")]
    assert one.rows().manifest()["end"]["reason"] == "deadline"
    assert one.rows().summary()["requests"]["ok"] == one.rows().records().to_pandas().outcome.eq("ok").sum()


def test_a_folder_is_claimed_once_however_many_ask_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    got: list[str] = []

    def ask() -> None:
        together.wait()
        try:
            claim(tmp_path / "run")
            got.append("claimed")
        except RunDirError:
            got.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["claimed", *["refused"] * 7]
