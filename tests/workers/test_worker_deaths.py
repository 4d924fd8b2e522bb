"""Workers as processes: one that dies, a coordinator that dies, signals, and the key that only they and we know."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from helpers.command_line import serving
from helpers.run_process import Run, answered, logging_server, run, write_workload

from trie.cli import main
from trie.metrics.evaluate_run import evaluate
from trie.storage.manifest import End

KEY = "sk-marker-4711-do-not-write"
SETTINGS = ("workers=2", "concurrency=8", "client.priority=normal", "tokenizer_model=words")


def end_of(ended: Run) -> End:
    end = ended.rows().manifest().end
    assert end is not None
    return end


@pytest.mark.slow
def test_a_worker_that_is_killed_is_missed_at_once_and_the_other_goes_on(tmp_path: Path) -> None:
    settings = (*SETTINGS, "duration=3", write_workload(tmp_path))
    with (
        logging_server(tmp_path / "log") as url,
        run(tmp_path, f"endpoint={url}", *settings, OPENAI_API_KEY=KEY) as hit,
    ):
        hit.both_workers_have_rows()
        workers = hit.children()
        assert len(workers) == 2
        for worker in workers:
            told = Path(f"/proc/{worker}/environ").read_bytes() + Path(f"/proc/{worker}/cmdline").read_bytes()
            assert KEY.encode() not in told
        os.kill(workers[0], signal.SIGKILL)
        killed = time.monotonic()
        output, errors = hit.process.communicate(timeout=60)
    assert (hit.process.returncode, errors) == (0, "")
    end = end_of(hit)
    (dead,) = [worker for worker in end.workers if worker.died]
    assert dead.died == "killed by signal 9"
    assert dead.slots == 4
    assert end.began_monotonic_s is not None
    assert dead.wall_time_s is not None
    at_s = killed - end.began_monotonic_s
    assert dead.wall_time_s - at_s < 1.0
    assert f"worker {dead.worker_id} is gone (killed by signal 9)" in output
    evaluated = evaluate(hit.rows())
    rows = evaluated.frame()
    last_s = rows.groupby("worker_id").end_s.max()
    assert at_s - 1.0 < last_s[dead.worker_id] < at_s  # all but its last second
    assert last_s[1 - dead.worker_id] > end.wall_time_s - 0.5
    assert [check.id for check in evaluated.summary.verdict if check.id == "workers_lived" and not check.ok]
    assert not evaluated.summary.valid
    left_open = rows.groupby("session_id").turn.max() < 1  # a trace has two requests
    outcomes = evaluated.trace_frame().set_index("session_id").outcome
    assert set(outcomes[left_open]) <= {"cancelled"}
    for file in (file for file in tmp_path.rglob("*") if file.is_file()):
        assert KEY.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_workers_without_a_coordinator_end_with_their_rows_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    settings = (*SETTINGS, "duration=60", write_workload(tmp_path))
    with logging_server(log) as url, run(tmp_path, f"endpoint={url}", *settings) as hit:
        hit.both_workers_have_rows()
        hit.process.kill()
        killed = time.monotonic()
        hit.process.communicate()
        hit.assert_nothing_left()
        time.sleep(0.5)
        answers = answered(log)
    assert max(instant for *_, instant in answers) < killed + 1.0  # no orphan goes on
    rows = hit.rows().records().to_pandas()
    kept = set(zip(rows.session_id, rows.turn, strict=True))
    assert {(session, turn) for _, session, turn, instant in answers if instant < killed} <= kept  # not a row is lost
    assert set(rows.error_kind.dropna()) <= {"coordinator_died"}
    assert main.run(["report", str(hit.directory)]) == 0
    assert "the end of the run is missing" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_workers_in_order_and_only_by_the_coordinator(tmp_path: Path, number: signal.Signals) -> None:
    """What is in flight then is held open by the server, so that each worker has requests to cut off, and all rows."""
    settings = (*SETTINGS, "duration=60", write_workload(tmp_path))
    with serving(holding=True) as server, run(tmp_path, f"endpoint={server.url}", *settings) as hit:
        hit.both_workers_have_rows()
        hit.waits_for(lambda: len(server.held) == 8)
        workers = hit.children()
        for worker in workers:  # a terminal, or a service manager, may tell everybody
            os.kill(worker, signal.SIGINT)
            os.kill(worker, signal.SIGTERM)
        time.sleep(0.5)
        assert all(Path(f"/proc/{worker}").exists() for worker in workers)
        hit.process.send_signal(number)
        assert hit.ended() == (130, "trie: interrupted\n")
    end = end_of(hit)
    assert end.reason == "interrupted"
    assert [worker.died for worker in end.workers] == [None, None]
    assert cut_off(hit, "interrupted") == server.held


@pytest.mark.slow
def test_the_deadline_leaves_a_row_of_each_request_in_flight(tmp_path: Path) -> None:
    settings = (*SETTINGS, "duration=3", write_workload(tmp_path))
    with serving(holding=True) as server, run(tmp_path, f"endpoint={server.url}", *settings) as hit:
        assert hit.ended() == (0, "")
    assert end_of(hit).reason == "deadline"
    assert len(server.held) == 8
    assert cut_off(hit, "deadline") == server.held


def cut_off(ended: Run, reason: str) -> set[int]:
    """Sessions whose second request was in flight at the end; both workers have some."""
    rows = ended.rows().records().to_pandas()
    rows = rows[rows.error_kind == reason]
    assert set(rows.worker_id) == {0, 1}
    assert set(rows.turn) == {1}
    assert rows.session_id.is_unique
    return set(rows.session_id)
