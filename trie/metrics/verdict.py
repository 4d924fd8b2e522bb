"""The verdict: may these numbers be published? All checks of a run, each with what was found and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from trie.config import LimitsConfig
from trie.metrics.checks import cache, circumstances, client, engine, lengths, outcomes, streams
from trie.metrics.checks.check import Check, Condition, Evidence

if TYPE_CHECKING:
    from trie.metrics.summary import Summary

# Every check that there is, in the order of the report.
CONDITIONS: tuple[Condition, ...] = (
    *outcomes.CONDITIONS,
    *lengths.CONDITIONS,
    *client.CONDITIONS,
    *streams.CONDITIONS,
    *circumstances.CONDITIONS,
    *cache.CONDITIONS,
    *engine.CONDITIONS,
)


def judge(summary: Summary, manifest: Mapping[str, Any]) -> tuple[Check, ...]:
    """All checks of a run, errors first; those that can't be made for want of data are left out."""
    given = manifest["config"].get("limits") or {}
    limits = LimitsConfig(**{key.name: given[key.name] for key in fields(LimitsConfig) if key.name in given})
    evidence = Evidence(summary, manifest, limits)
    checks = [
        *outcomes.outcome_checks(evidence),
        *lengths.length_checks(evidence),
        *client.client_checks(evidence),
        *streams.stream_checks(evidence),
        *circumstances.end_checks(evidence),
        *circumstances.circumstance_checks(evidence),
        *cache.cache_checks(evidence),
        *engine.engine_checks(evidence),
    ]
    return tuple(sorted(checks, key=lambda check: check.level != "error"))
