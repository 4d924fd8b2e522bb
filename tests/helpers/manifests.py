"""Manifests of which a test says only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trie.config import RunConfig, WorkloadConfig
from trie.preflight.new_manifest import plain
from trie.storage.manifest import Manifest

ORDINARY: dict[str, dict[str, Any]] = {
    "workload": {"name": "w", "source": "w.jsonl", "traces": 3, "synthetic": False, "mean_turns": 1.0},
    "prompts": {"name": "word list", "offset_tokens": 0, "finding": "lengths verified"},
    "server": {"base_url": "http://host:8000/v1", "embedded": False, "model": "m"},
    "started": {"unix_s": 1_700_000_000.0, "wall_clock": "2023-11-14T22:13:20.000+00:00"},
    "end": {
        "reason": "deadline",
        "wall_time_s": 100.0,
        "client": {
            "cpu_s": 10.0,
            "loop_lag_p50_s": 0.0,
            "loop_lag_p99_s": 0.001,
            "loop_lag_max_s": 0.002,
            "samples": 10,
        },
    },
}
KILLED = None  # as `end`: the run has none


def manifest(*, prompt_seed: int = 7, **about: Any) -> Manifest:
    """A run of 100 s that ended at its deadline.

    A section's name (`workload`, `prompts`, `server`, `started`, `end`) says what differs from the ordinary there, or
    None that the section is missing. Any other name is a setting: a value, or a mapping of those that differ.
    """
    sections = {name: _over(ordinary, about.pop(name, {})) for name, ordinary in ORDINARY.items()}
    partial = {key: value for key, value in about.items() if isinstance(value, Mapping)}
    whole = {key: value for key, value in about.items() if key not in partial}
    config = plain(RunConfig(**{"workload": WorkloadConfig(name="w", path="w.jsonl"), "duration": 100.0, **whole}))
    config |= {key: _over(config[key] or {}, different) for key, different in partial.items()}
    stated = {name: section for name, section in sections.items() if section is not None or name == "end"}
    return Manifest.from_json({"config": config, "seed": prompt_seed, **stated})


def _over(ordinary: Mapping[str, Any], different: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if different is None else {**ordinary, **different}
