"""How many pairs of blocks a difference takes, by the pairs of an earlier comparison."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import stdev

from trie.decide.ab.result import Plan
from trie.decide.ab.saved import RESULT
from trie.errors import RunDirError
from trie.report.number_format import percent


def predicted(directory: Path, plan: Plan, effect: float) -> str:
    """The sentence for people.

    Raises:
        RunDirError: when `directory` holds no comparison, or one of too few pairs.
    """
    deviation = stdev(_log_ratios(directory / RESULT, plan.metric))
    pairs = plan.rule.needs(effect, deviation)
    spread = f"pairs of it spread by {percent(deviation, 2)}"
    if pairs is None:
        return f"a difference of {percent(effect, 1)} is not sure after {plan.rule.most} pairs: {spread}"
    return f"a difference of {percent(effect, 1)} is sure after about {pairs} pairs: {spread}"


def _log_ratios(path: Path, metric: str) -> list[float]:
    try:
        pairs = json.loads(path.read_bytes())["pairs"]
        values = [pair["log_ratios"][metric] for pair in pairs if pair["log_ratios"][metric] is not None]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDirError(f"{path}: is no result of trie ab") from error
    if len(values) < 2:
        raise RunDirError(f"{path}: has {len(values)} pairs, and a spread takes 2")
    return values
