"""Manifests of which a test says only what it is about."""

from __future__ import annotations

from typing import Any

from trie.config import RunConfig, WorkloadConfig
from trie.storage.manifest import plain


def manifest(*, wall_time_s: float | None = 100.0, synthetic: bool = False, **settings: Any) -> dict[str, Any]:
    """A manifest of a run that ended in order."""
    config = RunConfig(workload=WorkloadConfig(name="w", path="w.jsonl"), **settings)
    client = {"cpu_s": 1.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.001, "loop_lag_max_s": 0.002, "samples": 10}
    end = {"reason": "deadline", "wall_time_s": wall_time_s, "client": client}
    return {
        "config": plain(config),
        "workload": {"name": "w", "source": "w.jsonl", "traces": 2, "synthetic": synthetic},
        "server": {"base_url": "http://h/v1", "embedded": False, "model": "m"},
        "prompts": {"name": "word list", "finding": "lengths proven"},
        "seed": 1,
        "end": end if wall_time_s is not None else None,
    }
