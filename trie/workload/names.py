"""The workloads that have a name. conf/workload/ says the same for the command line; a test holds the two together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trie.config import WorkloadConfig

NAMED: dict[str, Callable[[], WorkloadConfig]] = {
    "sample": lambda: WorkloadConfig(name="sample", bundled="sample.jsonl"),
    "agentic": lambda: WorkloadConfig(
        name="agentic",
        hub_file="agentic_coding_8k.jsonl",
        hub_sha256="d2d55501e49b59f4f507b932929eea47043eed51619a632b919416e205523788",
    ),
    "qa": lambda: WorkloadConfig(name="qa", hub_file="code_qa_8k.jsonl"),
    "office": lambda: WorkloadConfig(name="office", hub_file="office_work_8k.jsonl"),
    "agentic-synthetic": lambda: WorkloadConfig(name="agentic-synthetic", synthetic="agentic"),
    "qa-synthetic": lambda: WorkloadConfig(name="qa-synthetic", synthetic="qa"),
    "office-synthetic": lambda: WorkloadConfig(name="office-synthetic", synthetic="office"),
}


def named_or_path(workload: str) -> WorkloadConfig:
    """The settings of a named workload, or of the JSONL file at a path."""
    if workload in NAMED:
        return NAMED[workload]()
    return WorkloadConfig(name=Path(workload).stem, path=workload)
