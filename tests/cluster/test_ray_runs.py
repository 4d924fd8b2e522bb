"""Runs on the nodes of a real Ray cluster on this machine: clocks, keys, and deaths of all kinds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.command_line import serving
from helpers.ray_nodes import QUIET, Node, Nodes, nodes
from helpers.run_process import Run, answered, logging_server, write_workload

from trie.cli import main
from trie.cluster.remote_worker import UNASKED_S
from trie.metrics.evaluate_run import evaluate
from trie.storage.manifest import End, HostClock

if TYPE_CHECKING:
    import pandas as pd

pytest.importorskip("ray")
pytestmark = pytest.mark.ray

KEY = "sk-marker-0815-do-not-write"
SKEW_S = 1000.0
END_S = 300.0  # longer than any run here takes to end: no test waits for one that hangs
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

        def start(*settings: str, server: str = url, **env: str) -> Run:
            told = {**QUIET, "HOME": str(cluster.home), **env}
            runs.append(Run(tmp_path, f"endpoint={server}", *usual, *settings, **told))
            return runs[-1]

        yield start
        for started in runs:
            started.process.kill()
            started.process.communicate()


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
    started = running("duration=8", OPENAI_API_KEY=KEY)
    started.both_workers_have_rows()
    told = [_read(pid, name) for pid in cluster.processes() for name in ("cmdline", "environ")]
    assert len(named(skewed, b"trie.workers")) == 1
    assert not [text for text in told if KEY.encode() in text]
    output, errors = started.process.communicate(timeout=END_S)
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


def test_node_that_loses_its_power_is_missed_and_the_other_goes_on(cluster: Nodes, running: Callable[..., Run]) -> None:
    cluster.room_for(2)
    started = running("duration=25")
    started.both_workers_have_rows()
    node = next(node for node in cluster.nodes if node.number and named(node, b"trie.workers"))
    started.waits_for(lambda: started.last_rows().min() > 2.0)  # s: rows come while the run goes on
    before = started.rows().records().to_pandas()
    cluster.leave(node.number)
    output, errors = started.process.communicate(timeout=END_S)
    assert (started.process.returncode, errors) == (0, ""), output
    [dead] = [worker for worker in end_of(started).workers if worker.died]
    assert dead.wall_time_s is not None
    evaluated = evaluate(started.rows())
    last_s = started.last_rows()
    print(f"dead {dead.wall_time_s - last_s[dead.worker_id]:.2f} s after the last row: {dead.died}")
    assert requests_of(before) <= requests_of(evaluated.frame())  # what was here stays
    assert last_s[dead.worker_id] < dead.wall_time_s < last_s[1 - dead.worker_id]
    assert [check.id for check in evaluated.summary.verdict if not check.ok and check.id == "workers_lived"]
    assert not evaluated.summary.valid


def requests_of(rows: pd.DataFrame) -> set[tuple[int, int]]:
    return set(zip(rows.session_id, rows.turn, strict=True))


def test_actor_that_is_killed_takes_its_worker_along_and_a_run_waits_for_a_node_that_joins_late(
    cluster: Nodes, running: Callable[..., Run]
) -> None:
    first = cluster.room_for(1)
    started = running("duration=15")
    time.sleep(3)
    assert started.process.poll() is None
    cluster.room_for(2)  # it has waited
    started.both_workers_have_rows()
    [actor], [worker] = named(first, b"ray::RemoteWorker"), named(first, b"trie.workers")
    os.kill(actor, signal.SIGKILL)
    started.waits_for(lambda: not _read(worker, "cmdline"))  # and the run, with the other worker, goes on
    output, errors = started.process.communicate(timeout=END_S)
    assert (started.process.returncode, errors) == (0, ""), output
    [dead] = [worker for worker in end_of(started).workers if worker.died]
    print(f"dead {dead.wall_time_s} s after the beginning: {dead.died}")
    assert dead.died is not None
    assert "has not answered" not in dead.died  # Ray said so, long before its silence would have


def test_ctrl_c_ends_the_workers_of_all_nodes_in_order(cluster: Nodes, running: Callable[..., Run]) -> None:
    """Ray takes signals for itself when it connects; they are trie's again afterwards."""
    cluster.room_for(2)
    with serving(holding=True) as server:  # so that each worker has requests in flight
        started = running("duration=600", server=server.url)
        started.both_workers_have_rows()
        started.waits_for(lambda: len(server.held) == 8)
        started.process.send_signal(signal.SIGINT)
        _, errors = started.process.communicate(timeout=END_S)
    assert (started.process.returncode, errors) == (130, "trie: interrupted\n")
    assert end_of(started).reason == "interrupted"
    rows = started.rows().records().to_pandas()
    cut = rows[rows.error_kind == "interrupted"]
    assert set(cut.worker_id) == {0, 1}
    assert sorted(cut.session_id) == sorted(server.held)  # a row of each
    assert not any(named(node, b"trie.workers") for node in cluster.nodes)


def test_workers_without_a_coordinator_end_and_send_nothing_more(
    cluster: Nodes, running: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.room_for(2)
    started = running("duration=600")
    started.both_workers_have_rows()
    started.process.kill()
    killed = time.monotonic()
    while any(named(node, b"trie.workers") for node in cluster.nodes):
        assert time.monotonic() < killed + END_S
        time.sleep(0.05)
    print(f"workers were gone {time.monotonic() - killed:.2f} s after the kill")
    time.sleep(0.5)
    last = max(instant for *_, instant in answered(tmp_path / "answers"))
    print(f"last answer {last - killed:.2f} s after the kill")
    assert last < killed + UNASKED_S  # by Ray's notice, before the actors miss anybody
    rows = started.rows().records().to_pandas()
    assert set(rows.worker_id) == {0, 1}
    assert main.run(["report", str(started.directory)]) == 0
    assert "the end of the run is missing" in capsys.readouterr().out
