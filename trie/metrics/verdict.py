"""The verdict: may these numbers be published? All checks of a run, each with what was found and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trie.metrics.checks import (
    activity,
    cache,
    circumstances,
    client,
    clocks,
    engine,
    lengths,
    load,
    objectives,
    outcomes,
    steadiness,
    streams,
)
from trie.metrics.checks.check import Check, Condition, Evidence
from trie.storage.manifest import Manifest

if TYPE_CHECKING:
    from trie.metrics.summary import Summary

# Every check that there is, in the order of the report.
CONDITIONS: tuple[Condition, ...] = (
    *outcomes.CONDITIONS,
    *lengths.CONDITIONS,
    *client.CONDITIONS,
    *streams.CONDITIONS,
    *activity.CONDITIONS,
    *steadiness.CONDITIONS,
    *load.CONDITIONS,
    *circumstances.CONDITIONS,
    *clocks.CONDITIONS,
    *cache.CONDITIONS,
    *engine.CONDITIONS,
    *objectives.CONDITIONS,
)


def judge(summary: Summary, manifest: Manifest) -> tuple[Check, ...]:
    """All checks of a run, errors first; those that can't be made for want of data are left out."""
    evidence = Evidence(summary, manifest, manifest.settings)
    checks = [
        *outcomes.outcome_checks(evidence),
        *lengths.length_checks(evidence),
        *client.client_checks(evidence),
        *streams.stream_checks(evidence),
        *activity.activity_checks(evidence),
        *steadiness.steadiness_checks(evidence),
        *steadiness.sample_checks(evidence),
        *load.load_checks(evidence),
        *circumstances.end_checks(evidence),
        *circumstances.circumstance_checks(evidence),
        *clocks.clock_checks(evidence),
        *cache.cache_checks(evidence),
        *engine.engine_checks(evidence),
        *objectives.objective_checks(evidence),
    ]
    return tuple(sorted(checks, key=lambda check: check.level != "error"))
