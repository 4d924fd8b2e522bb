"""The expression of `stop_when`: metrics, and how sure they must be before the run ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trie.errors import ConfigError

ALLOWED = "METRIC within N%, several joined by and (completion_tok_s within 2% and ttft_s.p90 within 5%), or slo"
SLO = "slo"  # instead: once it is sure whether the run's objectives are met
_TARGET = re.compile(r"([A-Za-z_][\w.]*)\s+within\s+(\d+(?:\.\d*)?|\.\d+)\s*%")
_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%")


@dataclass(frozen=True, slots=True)
class Target:
    """A metric, and half the interval that it may have, as a share of its value."""

    metric: str
    share: float


def targets(expression: str) -> tuple[Target, ...]:
    """The targets of an expression; all of them must be reached. None where it is `slo`.

    Raises:
        ConfigError: for another form, or a share that is not between 0 and 100 %.
    """
    if expression.strip() == SLO:
        return ()
    matches = [_TARGET.fullmatch(part.strip()) for part in re.split(r"\s+and\s+", expression.strip())]
    found = tuple(Target(match[1], float(match[2]) / 100) for match in matches if match is not None)
    if len(found) < len(matches) or not all(0 < target.share < 1 for target in found):
        raise ConfigError(f"stop_when={expression}: must be {ALLOWED}")
    return found


def of_precision(precision: str) -> str:
    """The expression of `precision`, which is about the headline throughput.

    Raises:
        ConfigError: for what is no percentage between 0 and 100.
    """
    match = _PERCENT.fullmatch(precision.strip())
    if match is None or not 0 < float(match[1]) < 100:
        raise ConfigError(f"precision={precision}: must be a percentage such as 2%, or null")
    return f"completion_tok_s within {match[1]}%"
