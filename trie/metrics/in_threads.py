"""Work on the blocks of a run in several threads, and what several threads may ask for, which is worked out once.

numpy lets other threads go on while it computes. So two blocks at a time take little more than half as long, where
there are two cores, and twice the memory of one block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import RLock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 2  # each of which needs memory for a block
SORTED_ALONE = 2**18  # values: fewer are sorted before a second thread has begun


def in_threads(formula: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What a formula gives for each item, in their order.

    Each call has threads of its own: a formula that calls this again can't wait for a thread that waits for it.
    """
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(formula, items)


def sort(values: NDArray[Any]) -> None:
    """Sort values in place: the lesser half and the greater half at the same time."""
    if len(values) <= SORTED_ALONE:
        values.sort()
        return
    half = len(values) // 2
    values.partition(half)
    list(in_threads(np.ndarray.sort, (values[:half], values[half:])))


class MadeOnce:
    """Values by name, each made when it is first asked for; a thread that asks meanwhile waits for it.

    Every name has a lock of its own, so that a value may need others.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._locks: dict[str, RLock] = {}

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The value of a name."""
        if name not in self._values:
            with self._locks.setdefault(name, RLock()):
                if name not in self._values:
                    self._values[name] = make()
        return self._values[name]
