"""The estimates for the whole workload as numbers of a comparison; where both runs have them they stand first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trie.compare.noise import Noise
from trie.metrics.certainty.estimate import Estimate
from trie.metrics.definitions import STATISTICS, Number, Section, metric_of
from trie.metrics.metric_names import Described
from trie.metrics.summary import Summary

SECTION = Section("certainty.population", "The whole workload, estimated", titled="{label} ({unit})")
RATES = ("completion_tok_s", "total_prompt_tok_s", "uncached_prompt_tok_s")
TIMES = ("latency_s", "ttft_s", "ttfat_s")
PARTS = tuple(part for part in STATISTICS if part.key in ("mean", "p50", "p90", "p99"))
UNCERTAIN = ".p99"  # its intervals hold the truth too rarely: 8 of 35 pairs of one server were called different by it
CAUTION = 1.15  # on standard errors: without it, pairs of one server were called different in 6 to 9 of 100 cases
HEADLINES = ("completion_tok_s", "latency_s.p50", "latency_s.p90", "ttft_s.p50")


def _numbers() -> Iterator[Number]:
    for key in RATES:
        yield Number(replace(metric_of(f"workload.{key}"), section=SECTION, parts=()))
    yield Number(replace(metric_of("trace_per_s"), section=SECTION, label="traces", parts=()))
    for key in TIMES:
        yield from replace(metric_of(f"per_trace.{key}"), section=SECTION, parts=PARTS).numbers()


NUMBERS = {number.key: number for number in _numbers()}
HEADLINE_KEYS = [f"{SECTION.key}.{key}" for key in HEADLINES]


def estimates(summary: Summary) -> dict[str, Estimate]:
    """By key, those that a run has."""
    if summary.certainty is None:
        return {}
    population = summary.certainty.population
    of_keys: dict[str, Estimate | None] = {}
    for key, number in NUMBERS.items():
        of_metric = getattr(population, number.metric.key)
        of_keys[key] = (of_metric or {}).get(number.part.key) if number.part else of_metric
    return {key: estimate for key, estimate in of_keys.items() if estimate is not None}


def noise_of(key: str, estimate: Estimate) -> Noise | None:
    """None for one of a run that is too short for an interval, and for a p99."""
    if estimate.standard_error is None or estimate.degrees_of_freedom is None or key.endswith(UNCERTAIN):
        return None
    return Noise((CAUTION * estimate.standard_error) ** 2, estimate.degrees_of_freedom)


def described(key: str) -> Described | None:
    """What such a number is called; None for any other."""
    number = NUMBERS.get(key)
    if number is None:
        return None
    return Described(key, number.metric.titled, number.statistic, number.unit, number.better, number)
