"""The groups that come with the package, conf/<group>/<name>.yaml, as the library reads them: without Hydra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trie.config.workload import WorkloadConfig

PACKAGE = Path(__file__).parents[1]
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"  # in a wheel, in a checkout


def names(group: str) -> list[str]:
    """The names of a group's files."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def load(group: str, name: str) -> dict[str, Any]:
    """The values of one file, by their keys."""
    import yaml  # type: ignore[import-untyped]  # not for `import trie`

    values: dict[str, Any] = yaml.safe_load((CONF / group / f"{name}.yaml").read_text("utf-8"))
    return values


def workload_named_or_at(workload: str) -> WorkloadConfig:
    """The settings of a named workload, or of the JSONL file at a path."""
    if workload in names("workload"):
        values = load("workload", workload)
        return WorkloadConfig(**values.get("workload", values))  # a file that sets more than its group nests it
    return WorkloadConfig(name=Path(workload).stem, path=workload)
