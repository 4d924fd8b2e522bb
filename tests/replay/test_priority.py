"""The priority of a replay: raised for every thread where the system allows it, and as it was afterwards."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from trie.replay import priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")


def of_this_thread() -> tuple[int, int]:
    return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)


def in_a_new_thread() -> tuple[int, int]:
    seen: list[tuple[int, int]] = []
    thread = threading.Thread(target=lambda: seen.append(of_this_thread()))
    thread.start()
    thread.join()
    return seen[0]


def test_it_is_raised_where_allowed_and_restored() -> None:
    before = of_this_thread()
    with priority.raised(wanted=True) as name:
        assert (of_this_thread() != before) == (name != priority.NORMAL)
        assert in_a_new_thread() == of_this_thread()  # the writer of the rows would else be kept from its core
    assert of_this_thread() == before
    assert in_a_new_thread() == before


def test_it_is_left_alone_where_that_is_not_wanted() -> None:
    before = of_this_thread()
    with priority.raised(wanted=False) as name:
        assert (name, of_this_thread()) == (priority.NORMAL, before)


@pytest.mark.parametrize(
    ("refused", "name"), [(("sched_setscheduler",), "nice -10"), (("sched_setscheduler", "setpriority"), "normal")]
)
def test_what_the_system_refuses_is_not_done(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...], name: str
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    def allow(*_: object) -> None:
        return

    for call in ("sched_setscheduler", "setpriority"):
        monkeypatch.setattr(os, call, refuse if call in refused else allow)
    with priority.raised(wanted=True) as raised:
        assert raised == name


def test_a_thread_that_the_process_kept_is_restored_too() -> None:
    """The pool that writes rows starts its thread during the replay and keeps it."""
    go, seen = threading.Event(), []

    def work() -> None:
        go.wait()
        seen.append(of_this_thread())

    before = of_this_thread()
    with priority.raised(wanted=True):
        thread = threading.Thread(target=work)
        thread.start()
    go.set()
    thread.join()
    assert seen == [before]
