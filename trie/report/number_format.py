"""Figures as people read them: one way for the terminal and for pages."""

from __future__ import annotations

MISSING = "-"  # not measured, which is another thing than 0


def short(value: float | None, digits: int = 2) -> str:
    """Thousands apart, no decimals where they say nothing, M for millions."""
    if value is None:
        return MISSING
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.3f}M"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.{digits}f}"


def fine(value: float | None) -> str:
    """As `short`, with a third decimal below 10: a TTFT of milliseconds, in seconds. A count has no decimals."""
    if isinstance(value, int):
        return f"{value:,}"
    return short(value, 3 if value is None or abs(value) < 10 else 2)


def percent(ratio: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """A ratio in percent."""
    if ratio is None:
        return MISSING
    return f"{100 * ratio:+.{digits}f} %" if sign else f"{100 * ratio:.{digits}f} %"
