"""The scheduling priority of a replay, raised where the system allows it: a client that waits for a core is late."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NICE = -10  # where real time is not allowed
NORMAL = "normal"


@contextmanager
def raised(*, wanted: bool) -> Iterator[str]:
    """Raise the priority of all threads of this process, those it starts meanwhile included; yields what it is now.

    `real time` is the lowest one of the round-robin class. The system itself bounds it: on Linux real-time processes
    leave 5 % of each second to the others. `nice -10` is the second choice. Where neither is allowed nothing changes.
    """
    before = _of_threads() if wanted and sys.platform == "linux" else {}
    name = _raise(before)
    try:
        yield name
    finally:
        if name != NORMAL:
            _restore(before)


Priority = tuple[int, int, int]  # scheduling policy, its priority, nice value


def _of_threads() -> dict[int, Priority]:
    """The priority of each thread of this process."""
    threads: dict[int, Priority] = {}
    for folder in Path("/proc/self/task").iterdir():
        thread = int(folder.name)
        with suppress(OSError):  # it ended meanwhile
            policy, parameter = os.sched_getscheduler(thread), os.sched_getparam(thread)
            threads[thread] = policy, parameter.sched_priority, os.getpriority(os.PRIO_PROCESS, thread)
    return threads


def _raise(threads: dict[int, Priority]) -> str:
    if not threads or any(policy != os.SCHED_OTHER for policy, _, _ in threads.values()):
        return NORMAL  # not wanted, not known how, or chosen by the user (chrt)
    try:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except OSError:
        _restore(threads)
    else:
        return "real time"
    try:
        for thread in threads:
            os.setpriority(os.PRIO_PROCESS, thread, NICE)
    except OSError:
        _restore(threads)
        return NORMAL
    return f"nice {NICE}"


def _restore(before: dict[int, Priority]) -> None:
    """Give the threads of before their own priority again, and the newer ones that of the main thread."""
    main = before[os.getpid()]
    for thread in _of_threads():
        policy, priority, nice = before.get(thread, main)
        with suppress(OSError):
            os.sched_setscheduler(thread, policy, os.sched_param(priority))
            os.setpriority(os.PRIO_PROCESS, thread, nice)
