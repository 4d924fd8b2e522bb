"""Files of the hub: from the cache folder, or fetched once, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.bounds import AtMost
from helpers.local_hub import ROW, Hub

from trie.config import WorkloadConfig
from trie.errors import WorkloadError
from trie.workload import hub as hub_files
from trie.workload.load import load

CONFIG = WorkloadConfig(name="rows", hub_repo="org/set", hub_file="rows.jsonl")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIE_DATASET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_is_fetched_once_and_then_read_without_network(hub: Hub, cache: Path) -> None:
    first = load(CONFIG)
    asked = len(hub.requests)
    again = load(CONFIG)
    assert (cache / "rows.jsonl").read_bytes() == ROW * 500
    assert [path.name for path in cache.iterdir()] == ["rows.jsonl"], "nothing else is left behind"
    assert first.sha256 == again.sha256
    assert len(first.traces) == 500
    assert asked > 0
    assert len(hub.requests) == asked


def test_a_file_placed_by_hand_needs_no_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    cache.mkdir()
    (cache / "rows.jsonl").write_bytes(ROW)
    assert len(load(CONFIG).traces) == 1


def test_the_default_folder_is_in_the_systems_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIE_DATASET_CACHE")
    assert hub_files.cache_folder() == Path(tempfile.gettempdir()) / "trie-dataset"


def refused(config: WorkloadConfig) -> str:
    with pytest.raises(WorkloadError) as caught:
        load(config)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_hub_that_is_down_gives_one_line_of_advice_soon(
    cache: Path, monkeypatch: pytest.MonkeyPatch, at_most: AtMost
) -> None:
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        began = time.perf_counter()
        text = refused(CONFIG)
    assert time.perf_counter() - began < at_most(8), "no minute of silent retries"
    assert str(cache / "rows.jsonl") in text
    assert "HF_ENDPOINT" in text
    assert "agentic-synthetic, qa-synthetic, office-synthetic" in text
    assert not list(cache.iterdir())


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_hub_that_refuses_gives_one_line_soon(hub: Hub, status: int, at_most: AtMost) -> None:
    hub.status = status
    began = time.perf_counter()
    assert str(status) in refused(CONFIG)
    assert time.perf_counter() - began < at_most(8)


def test_a_missing_file_and_a_missing_repository_give_one_line(hub: Hub) -> None:
    assert "404" in refused(WorkloadConfig(hub_repo="org/set", hub_file="none.jsonl"))
    assert "404" in refused(WorkloadConfig(hub_repo="org/none", hub_file="rows.jsonl"))


def test_a_download_that_breaks_off_leaves_no_file(hub: Hub, cache: Path) -> None:
    hub.broken = True
    assert "can't be fetched" in refused(CONFIG)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("name", ["../rows.jsonl", "a/rows.jsonl", "", ".", "..", "/etc/passwd"])
def test_a_file_name_can_not_leave_the_cache_folder(name: str) -> None:
    assert "must be a plain file name" in refused(WorkloadConfig(hub_repo="org/set", hub_file=name))


def test_processes_that_fetch_at_once_both_get_the_whole_file(hub: Hub, cache: Path) -> None:
    code = (
        "from trie.config import WorkloadConfig as C; from trie.workload.load import load;"
        "print(len(load(C(hub_repo='org/set', hub_file='rows.jsonl')).traces))"
    )
    env = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env, cwd=Path(__file__).parents[2])
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == [b"500", b"500"]
    assert [path.name for path in cache.iterdir()] == ["rows.jsonl"]


def test_a_download_that_is_not_what_the_hub_states_is_not_kept(hub: Hub, cache: Path) -> None:
    """The hub states the hash of the whole file in its ETag; what it sends has one byte changed."""
    hub.sent = (ROW * 500).replace(b"7", b"8", 1)
    assert "what came has the hash" in refused(CONFIG)
    assert list(cache.iterdir()) == []


def test_a_download_that_is_not_the_recorded_file_is_not_kept(hub: Hub, cache: Path) -> None:
    recorded = replace(CONFIG, hub_sha256="0" * 64)
    assert f"must be {'0' * 12}..." in refused(recorded)
    assert list(cache.iterdir()) == []
    right = replace(CONFIG, hub_sha256=hashlib.sha256(ROW * 500).hexdigest())
    assert load(right).sha256 == right.hub_sha256


def test_a_small_file_is_held_against_gits_own_hash(hub: Hub) -> None:
    """As the hub gives it outside its large-file storage: SHA-1 of `blob`, the length, a NUL and the bytes."""
    content = ROW * 500
    hub.etag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    assert len(load(CONFIG).traces) == 500


def test_another_file_placed_by_hand_is_used_and_warned_of(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.mkdir()
    (cache / "rows.jsonl").write_bytes(ROW)
    assert len(load(replace(CONFIG, hub_sha256="0" * 64)).traces) == 1
    assert "is not the recorded file" in caplog.text


@pytest.mark.parametrize("name", ["../rows.jsonl", "/etc/passwd", "a/b.jsonl", "..", ".", ""])
def test_a_name_cannot_leave_the_cache_folder(name: str) -> None:
    assert "must be a plain file name" in refused(replace(CONFIG, hub_file=name))


@pytest.mark.parametrize("repo", ["../../x", "a/b/c", "", "a b"])
def test_a_repository_that_can_be_none_is_one_line(hub: Hub, repo: str) -> None:
    assert "can't be fetched" in refused(replace(CONFIG, hub_repo=repo))
