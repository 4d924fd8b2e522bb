"""Which cells of a sweep keep their objectives, and up to which load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trie.metrics.checks.check import Check
from trie.metrics.slo.answers import WORDS, answer, believed, doubts
from trie.metrics.slo.evaluate import Met
from trie.report.html.document import Cell, Tone
from trie.storage.sweep_dir import at

NOT_JUDGED = "not judged"  # a cell without an SLO, where others have one
TONES: dict[Met, Tone] = {"yes": "good", "no": "bad", "unsure": "warn"}
SLO_CHECK = "slo_met"


def facts(summary: Mapping[str, Any]) -> dict[str, str | None]:
    """The limits, whether all of them are met, and which are not; Nones for a run without an SLO."""
    judged = at(summary, "slo") or ()
    if not judged:
        return {"slo": None, "slo_met": None, "slo_why": None}
    checks = [Check.from_json(check) for check in at(summary, "verdict") or ()]
    found = next((check.found for check in checks if check.id == SLO_CHECK and not check.ok), "")
    reasons = list(doubts(checks))
    seen = answer(one["met"] for one in judged)
    met = believed(seen, doubtful=bool(reasons))
    return {"slo": _limits(judged), "slo_met": met, "slo_why": found if met == seen else f"doubtful: {reasons[0]}"}


def _limits(judged: Iterable[Mapping[str, Any]]) -> str:
    """The limits as people type them, by tier."""
    tiers: dict[str, list[str]] = {}
    for one in judged:
        tiers.setdefault(one.get("tier") or "", []).append(one["expression"])
    return "; ".join(f"{f'{tier}: ' if tier else ''}{', '.join(limits)}" for tier, limits in tiers.items())


def of_repeats(rows: Iterable[Mapping[str, Any]]) -> Met | None:
    """The answer of the repeats of a cell: theirs where they agree; None where none was judged."""
    values = {row["slo_met"] for row in rows} - {None}
    if not values:
        return None
    [met, *others] = values
    return "unsure" if others else met


def word(met: Met | None) -> str:
    """For people, in a sweep that has an SLO."""
    return NOT_JUDGED if met is None else WORDS[met]


def table_cell(met: Met | None, why: str | None = None) -> Cell:
    """The word in a table, in its colour."""
    return Cell(word(met), tone="plain" if met is None else TONES[met], help=why or None)


def limits_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """The limits of all cells; empty where there are none."""
    return "; or ".join(dict.fromkeys(row["slo"] for row in rows if row["slo"]))


def range_text(answers: Sequence[tuple[int, Met | None]]) -> str:
    """Up to which load the limits are met, from the answers by load; a load that misses them bounds all above it."""
    missed = [load for load, met in answers if met == "no"]
    below = [(load, met) for load, met in answers if not missed or load < missed[0]]
    most = max((load for load, met in below if met == "yes"), default=None)
    unsure = [str(load) for load, met in below if met == "unsure" and load > (most or 0)]
    return ", ".join(
        [
            "met at no concurrency" if most is None else f"met up to concurrency {most}",
            *([f"not sure at {' and '.join(unsure)}"] if unsure else []),
            *([f"missed from {missed[0]} on"] if missed else []),
        ]
    )
