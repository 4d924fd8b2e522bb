"""Workers as processes: one that dies, a coordinator that dies, signals, and the key that only they and we know."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from helpers.run_process import Run, answered, logging_server, run, write_workload

from trie.cli import main
from trie.metrics.evaluate_run import evaluate
from trie.storage.manifest import End

KEY = "sk-marker-4711-do-not-write"
SETTINGS = ("workers=2", "concurrency=8", "client.priority=normal", "tokenizer_model=words")


def both_have_rows(started: Run) -> list[int]:
    """The processes of the workers, once rows of each are on disk."""
    started.under_way()
    while any(not list(started.directory.glob(f"requests/part-w000{worker}-*.parquet")) for worker in (0, 1)):
        time.sleep(0.02)
    return started.children()


def end_of(ended: Run) -> End:
    end = ended.rows().manifest().end
    assert end is not None
    return end


def test_a_worker_that_is_killed_is_missed_at_once_and_the_other_goes_on(tmp_path: Path) -> None:
    settings = (*SETTINGS, "duration=3", write_workload(tmp_path))
    with (
        logging_server(tmp_path / "log") as url,
        run(tmp_path, f"endpoint={url}", *settings, OPENAI_API_KEY=KEY) as hit,
    ):
        workers = both_have_rows(hit)
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
        both_have_rows(hit)
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
def test_a_signal_ends_all_workers_in_order_and_only_by_the_coordinator(tmp_path: Path) -> None:
    with run(tmp_path, "profile=fast", "duration=60", *SETTINGS) as hit:
        workers = [child for child in both_have_rows(hit) if _is_worker(child)]
        for worker in workers:  # a terminal, or a service manager, may tell everybody
            os.kill(worker, signal.SIGINT)
            os.kill(worker, signal.SIGTERM)
        time.sleep(0.5)
        assert all(Path(f"/proc/{worker}").exists() for worker in workers)
        hit.process.send_signal(signal.SIGINT)
        assert hit.ended() == (130, "trie: interrupted\n")
    end = end_of(hit)
    assert end.reason == "interrupted"
    assert [worker.died for worker in end.workers] == [None, None]
    rows = hit.rows().records().to_pandas()
    cut = rows[rows.error_kind == "interrupted"]
    assert set(cut.worker_id) == {0, 1}


def _is_worker(process: int) -> bool:
    return b"trie.workers" in Path(f"/proc/{process}/cmdline").read_bytes()
