"""Runs on the nodes of a real Ray cluster on this machine: clocks, keys, and deaths of all kinds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.ray_nodes import QUIET, Node, Nodes, nodes
from helpers.run_process import Run, answered, logging_server, write_workload

from trie.cli import main
from trie.metrics.evaluate_run import evaluate
from trie.storage.manifest import End, HostClock

pytest.importorskip("ray")
pytestmark = pytest.mark.ray

KEY = "sk-marker-0815-do-not-write"
SKEW_S = 1000.0
# Python runs this before anything else: each clock of the node, that of its worker included, is ahead.
SKEWED = f"""
import time
ours = time.perf_counter
time.perf_counter = lambda: ours() + {SKEW_S}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with nodes(tmp_path_factory.mktemp("home")) as started:
        started.join(1)
        started.join(2)
        yield started


@pytest.fixture
def running(cluster: Nodes, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts a run of two workers against a server that notes its answers."""
    ready = ("cluster=ray", f"cluster.address={cluster.address}", "cluster.wait=300", "workers=2", "concurrency=8")
    usual = (*ready, "client.priority=normal", "tokenizer_model=words", write_workload(tmp_path))
    with logging_server(tmp_path / "answers") as url:
        runs: list[Run] = []

        def start(*settings: str, **env: str) -> Run:
            told = {**QUIET, "HOME": str(cluster.home), **env}
            runs.append(Run(tmp_path, f"endpoint={url}", *usual, *settings, **told))
            return runs[-1]

        yield start
        for started in runs:
            started.process.kill()
            started.process.communicate()


def both_have_rows(started: Run) -> None:
    until = time.monotonic() + 300
    while any(not list(started.directory.glob(f"requests/part-w000{worker}-*.parquet")) for worker in (0, 1)):
        assert started.process.poll() is None, started.process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def end_of(ended: Run) -> End:
    end = ended.rows().manifest().end
    assert end is not None
    return end


def named(node: Node, text: bytes) -> list[int]:
    """Processes of a node with this in their command lines."""
    return [pid for pid in node.processes() if text in _read(pid, "cmdline")]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def test_rows_of_a_node_whose_clock_is_ahead_are_on_our_clock_and_the_key_is_nowhere(
    cluster: Nodes, running: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "skewed").mkdir()
    (tmp_path / "skewed" / "sitecustomize.py").write_text(SKEWED)
    cluster.leave(2)
    skewed = cluster.join(2, tmp_path / "skewed")
    started = running("duration=4", OPENAI_API_KEY=KEY)
    both_have_rows(started)
    told = [_read(pid, name) for pid in cluster.processes() for name in ("cmdline", "environ")]
    assert len(named(skewed, b"trie.workers")) == 1
    assert not [text for text in told if KEY.encode() in text]
    output, errors = started.process.communicate(timeout=60)
    assert (started.process.returncode, errors) == (0, ""), output

    end = end_of(started)
    clocks = [worker.clock or HostClock() for worker in end.workers]
    clocks.sort(key=lambda clock: clock.offset_begin_s or 0.0)
    for clock, ahead_s in zip(clocks, (0.0, SKEW_S), strict=True):
        assert abs((clock.offset_begin_s or 0.0) - ahead_s) <= (clock.error_begin_s or 0.0) < 0.05
        assert abs((clock.offset_end_s or 0.0) - ahead_s) <= (clock.error_end_s or 0.0) < 0.05
        assert clock.steps == 0
    rows = started.rows().records().to_pandas()
    assert end.began_monotonic_s is not None
    instants = {(session, turn): instant for _, session, turn, instant in answered(tmp_path / "answers")}
    ended = rows[rows.outcome == "ok"]
    assert set(ended.worker_id) == {0, 1}
    late = [
        row.end_s + end.began_monotonic_s - instants[row.session_id, row.turn] for row in ended.itertuples(index=False)
    ]
    assert sorted(late)[len(late) // 2] < 0.1
    assert min(late) > -0.1

    folders = [tmp_path, cluster.home, *(node.temporary for node in cluster.nodes)]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert not [file for file in files if KEY.encode() in file.read_bytes()]


def test_node_that_loses_its_power_is_missed_and_the_other_goes_on(
    cluster: Nodes, running: Callable[..., Run], tmp_path: Path
) -> None:
    cluster.room_for(2)
    started = running("duration=20")
    both_have_rows(started)
    node = next(node for node in cluster.nodes if node.number and named(node, b"trie.workers"))
    killed = time.monotonic()
    cluster.leave(node.number)
    output, errors = started.process.communicate(timeout=180)
    assert (started.process.returncode, errors) == (0, ""), output
    end = end_of(started)
    [dead] = [worker for worker in end.workers if worker.died]
    assert end.began_monotonic_s is not None
    at_s = killed - end.began_monotonic_s
    print(f"dead {(dead.wall_time_s or 0) - at_s:.2f} s after the kill: {dead.died}")
    assert "has not answered for 2 s" in output or (dead.wall_time_s or 0.0) - at_s < 5.0
    evaluated = evaluate(started.rows())
    last_s = evaluated.frame().groupby("worker_id").end_s.max()
    print(f"last row {at_s - last_s[dead.worker_id]:.2f} s before it")
    assert at_s - 1.5 < last_s[dead.worker_id] < at_s + 0.1
    assert last_s[1 - dead.worker_id] > end.wall_time_s - 0.5
    assert [check.id for check in evaluated.summary.verdict if not check.ok and check.id == "workers_lived"]
    assert not evaluated.summary.valid


def test_actor_that_is_killed_takes_its_worker_along_and_a_run_waits_for_a_node_that_joins_late(
    cluster: Nodes, running: Callable[..., Run]
) -> None:
    first = cluster.room_for(1)
    started = running("duration=4")
    time.sleep(3)
    assert started.process.poll() is None
    cluster.room_for(2)  # it has waited
    both_have_rows(started)
    [actor], [worker] = named(first, b"ray::RemoteWorker"), named(first, b"trie.workers")
    os.kill(actor, signal.SIGKILL)
    killed = time.monotonic()
    while Path(f"/proc/{worker}").exists() and _read(worker, "cmdline"):
        assert time.monotonic() < killed + 5.0
        time.sleep(0.05)
    output, errors = started.process.communicate(timeout=60)
    assert (started.process.returncode, errors) == (0, ""), output
    end = end_of(started)
    [dead] = [worker for worker in end.workers if worker.died]
    assert end.began_monotonic_s is not None
    found_s = (dead.wall_time_s or 0.0) - (killed - end.began_monotonic_s)
    print(f"dead {found_s:.2f} s after the kill: {dead.died}")
    assert found_s < 2.0


def test_ctrl_c_ends_the_workers_of_all_nodes_in_order(cluster: Nodes, running: Callable[..., Run]) -> None:
    """Ray takes signals for itself when it connects; they are trie's again afterwards."""
    cluster.room_for(2)
    started = running("duration=120")
    both_have_rows(started)
    started.process.send_signal(signal.SIGINT)
    _, errors = started.process.communicate(timeout=30)
    assert (started.process.returncode, errors) == (130, "trie: interrupted\n")
    assert end_of(started).reason == "interrupted"
    rows = started.rows().records().to_pandas()
    assert set(rows[rows.error_kind == "interrupted"].worker_id) == {0, 1}
    assert not any(named(node, b"trie.workers") for node in cluster.nodes)


def test_workers_without_a_coordinator_end_and_send_nothing_more(
    cluster: Nodes, running: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.room_for(2)
    started = running("duration=120")
    both_have_rows(started)
    started.process.kill()
    killed = time.monotonic()
    while any(named(node, b"trie.workers") for node in cluster.nodes):
        assert time.monotonic() < killed + 20
        time.sleep(0.05)
    print(f"workers were gone {time.monotonic() - killed:.2f} s after the kill")
    time.sleep(0.5)
    last = max(instant for *_, instant in answered(tmp_path / "answers"))
    print(f"last answer {last - killed:.2f} s after the kill")
    assert last < killed + 5.0
    rows = started.rows().records().to_pandas()
    assert set(rows.worker_id) == {0, 1}
    assert main.run(["report", str(started.directory)]) == 0
    assert "the end of the run is missing" in capsys.readouterr().out
