"""The check of the SLO: a run that misses it is a good measurement of a server that is too slow."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence
from trie.metrics.slo.evaluate import Judged

SLO_MET = Condition("slo_met", "warning", "the SLO was met", "the SLO was missed, or it is not sure")
CONDITIONS = (SLO_MET,)


def objective_checks(run: Evidence) -> Iterator[Check]:
    """Where there is an SLO."""
    judged = run.summary.slo
    if not judged:
        return
    missed = [_said(one) for one in judged if one.met == "no"]
    unsure = [_said(one) for one in judged if one.met == "unsure"]
    parts = [f"missed: {', '.join(missed)}" if missed else "", f"not sure: {', '.join(unsure)}" if unsure else ""]
    yield SLO_MET.check(
        not missed and not unsure,
        "; ".join(part for part in parts if part) or f"all {len(judged)} objectives",
        "lower the load" if missed else f"run longer{_long_enough(run)}, so that the intervals are narrower",
    )


def _long_enough(run: Evidence) -> str:
    """How long a run that has no interval would have to be."""
    needs_s = run.summary.certainty.needs_s if run.summary.certainty else None
    return "" if needs_s is None else f" (intervals take {needs_s:,.0f} s)"


def _said(one: Judged) -> str:
    """The objective and what it is."""
    value = "not measured" if one.value is None else f"{one.value:.4g}"
    tier = f"{one.tier}: " if one.tier else ""
    return f"{tier}{one.expression} ({value})"
