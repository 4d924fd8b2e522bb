"""One condition of a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One condition; an error that is not ok makes a run invalid, a warning is for the reader to weigh."""

    check: str
    level: Literal["error", "warning"]
    ok: bool
    found: str
    advice: str
