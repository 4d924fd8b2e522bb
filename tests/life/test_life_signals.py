"""Signals end a run in order, and at once when they come again; a run that was suspended says so."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from helpers.run_process import run

INTERRUPTED = (130, "trie: interrupted\n")
NUMBERS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_second_signal_ends_at_once_what_would_take_its_time(number: signal.Signals, tmp_path: Path) -> None:
    """An endpoint that can't end the polite way is given six seconds, unless one asks again."""
    with run(tmp_path, "profile=fast", "duration=60") as interrupted:
        interrupted.under_way()
        (endpoint,) = interrupted.children()
        os.kill(endpoint, signal.SIGSTOP)
        interrupted.process.send_signal(number)
        time.sleep(0.8)
        assert interrupted.process.poll() is None
        interrupted.process.send_signal(number)
        before = time.monotonic()
        assert interrupted.ended(10) == INTERRUPTED
    assert time.monotonic() - before < 2.5
    assert interrupted.rows().records().num_rows > 0


@pytest.mark.parametrize(
    ("number", "after_s"),
    [
        (signal.SIGTERM, 0.7),
        *(pytest.param(n, s / 10, marks=pytest.mark.slow) for n in NUMBERS[:1] for s in range(2, 14)),
    ],
)
def test_signal_in_the_start_ends_it(number: signal.Signals, after_s: float, tmp_path: Path) -> None:
    with run(tmp_path, "profile=fast", "duration=60") as interrupted:
        time.sleep(after_s)
        interrupted.process.send_signal(number)
        assert interrupted.ended(10)[0] in (130, -number)  # before Python is up, the system ends it


@pytest.mark.slow
def test_suspended_run_is_invalid_and_its_rows_are_suspect(tmp_path: Path) -> None:
    with run(tmp_path, "profile=fast", "duration=3.5", "concurrency=16") as suspended:
        suspended.under_way()
        suspended.process.send_signal(signal.SIGSTOP)
        time.sleep(1.6)
        suspended.process.send_signal(signal.SIGCONT)
        assert suspended.ended() == (0, "")
    rows = suspended.rows().records().to_pandas()
    open_throughout = rows[rows.end_s - rows.sent_s > 1.5]
    assert len(open_throughout) > 8
    assert (open_throughout.loop_lag_s > 1.0).all()
    assert (rows.loop_lag_s > 1.0).sum() <= len(open_throughout) + 16  # those that were due then, one a slot
    summary = suspended.rows().summary()
    failed = {check["id"]: check["found"] for check in summary["verdict"] if not check["ok"]}
    assert not summary["valid"]
    assert "stood still for 1." in failed["client_ran_throughout"]
