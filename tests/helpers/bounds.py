"""Bounds on time: they are held to in the slow tier only, since a busy machine keeps none of them."""

from __future__ import annotations

import math
from collections.abc import Callable

AtMost = Callable[[float], float]


def not_held_to(_: float) -> float:
    """Any time will do."""
    return math.inf


def held_to(seconds: float) -> float:
    """This time and no longer."""
    return seconds
