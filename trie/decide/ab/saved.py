"""ab.json: an A/B comparison on disk, from which the same command goes on after it was interrupted or killed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from trie.compare.config_diff import Setting
from trie.compare.config_diff import settings as differing
from trie.decide.ab.result import Arm, Pair, Plan, Result
from trie.errors import ConfigError, RunDirError
from trie.preflight.new_manifest import plain
from trie.storage.run_dir import write_json
from trie.workload.trace import Workload

RESULT = "ab.json"
DIGEST_BYTES = 2  # of a command: enough to see that it changed, too few to find out what it says


def write(result: Result, arms: Sequence[Arm], workloads: Mapping[str, Workload]) -> None:
    """Write ab.json, whole or not at all.

    Raises:
        RunDirError: when it can't be written.
    """
    write_json(result.directory / RESULT, to_json(result) | {"arms": _arms(arms, workloads)})


def to_json(result: Result) -> dict[str, Any]:
    """Everything but the settings of the arms."""
    return {
        "schema_version": 1,
        "decision": result.decision,
        **_plan(result.plan),
        "interrupted": result.interrupted,
        "needs_more_pairs": result.needs_more,
        "doubts": result.doubts,
        "findings": {
            finding.of.key: {
                "decision": finding.decision,
                "value": finding.interval and finding.interval.value,
                "low": finding.interval and finding.interval.low,
                "high": finding.interval and finding.interval.high,
                "pairs": finding.interval.pairs if finding.interval else 0,
            }
            for finding in result.findings
        },
        "pairs": [
            {
                "number": pair.number,
                "first": pair.first,
                "log_ratios": pair.differences,
                "doubts": pair.doubts,
                "unsteady": pair.unsteady,
            }
            for pair in result.pairs
        ],
        "tries_of_next_pair": result.tries,
        "dropped": result.dropped,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "metric": plan.metric,
        "margin": plan.rule.margin,
        "confidence": plan.rule.confidence,
        "block_s": plan.block_s,
        "most_pairs": plan.rule.most,
        "seed": plan.seed,
        "same_traces": plan.same_traces,
    }


def _arms(arms: Sequence[Arm], workloads: Mapping[str, Workload]) -> dict[str, Any]:
    """The settings of both; of a command, in which a key may stand, a digest of a few bits."""
    return {
        arm.name: {
            "settings": plain(arm.config),
            "workload_sha256": workloads[arm.name].sha256,
            "before": None
            if arm.before is None
            else blake2b(arm.before.encode(), digest_size=DIGEST_BYTES).hexdigest(),
        }
        for arm in arms
    }


def restored(arms: Sequence[Arm], plan: Plan, workloads: Mapping[str, Workload], directory: Path) -> Result:
    """What was measured before in this folder, of which there may be nothing.

    Raises:
        RunDirError: when ab.json can't be read.
        ConfigError: when it was measured with other settings.
    """
    path = directory / RESULT
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Result(plan, directory, [])
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path}: can't be read: {error}") from error
    try:
        changed = next(_changed(content, arms, plan, workloads), None)
        pairs = [
            Pair(pair["number"], pair["first"], pair["log_ratios"], pair["doubts"], pair["unsteady"])
            for pair in content["pairs"]
        ]
        tries, dropped = content["tries_of_next_pair"], content["dropped"]
    except (KeyError, TypeError, AttributeError) as error:
        raise RunDirError(f"{path}: is of another version of trie, and can't be resumed; give a new folder") from error
    if changed is not None:
        raise ConfigError(
            f"{directory}: was begun with {changed.key}={changed.baseline}, not {changed.candidate}; resume it with "
            "the same settings, or give a new folder"
        )
    return Result(plan, directory, pairs, tries=tries, dropped=dropped)


def _changed(
    content: Mapping[str, Any], arms: Sequence[Arm], plan: Plan, workloads: Mapping[str, Workload]
) -> Iterator[Setting]:
    """Settings that differ and may change what is measured or decided."""
    for key, value in _plan(plan).items():
        if content[key] != value:
            yield Setting(key, content[key], value)
    for name, now in _arms(arms, workloads).items():
        then = content["arms"][name]
        for setting in differing(then["settings"], now["settings"]):
            yield Setting(f"{name}.{setting.key}", setting.baseline, setting.candidate)
        if then["workload_sha256"] != now["workload_sha256"]:
            yield Setting(f"{name}.workload of sha256", then["workload_sha256"], now["workload_sha256"])
        if then["before"] != now["before"]:
            yield Setting(f"{name}.before", "another command" if then["before"] else None, "this one")
