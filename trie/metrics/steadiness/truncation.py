"""MSER-5: how much of the beginning to leave out so that the mean of the rest is most precise."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Floats

BATCH = 5  # values that are averaged first


def mser5(values: Floats) -> int | None:
    """How many of the first values to leave out, a multiple of 5; None where the best is more than half of them.

    The rule leaves out the first d batches for which the sum of squares around the mean of the other n - d, divided by
    (n - d) squared, is least. A best d in the second half says that the series is too short to tell.
    """
    count = len(values) // BATCH
    batches = values[: count * BATCH].reshape(count, BATCH).mean(axis=1)
    left = np.arange(count, 0, -1)
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (batches, batches**2))
    spread = np.maximum(squares - sums**2 / left, 0.0) / left**2
    usable = spread[: max(count - BATCH, 0)]  # the last few batches agree by chance
    if not len(usable):
        return None
    best = int(np.argmin(usable))
    return best * BATCH if best <= count // 2 else None
