"""What a run states about itself: settings, versions, host, server, prompts. Never a secret."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean
from typing import Any

import trie
from trie.config import RunConfig
from trie.preflight.steps import Prepared

SCHEMA_VERSION = 1
PACKAGES = (
    "aiohttp",
    "huggingface_hub",
    "hydra-core",
    "numpy",
    "orjson",
    "pandas",
    "pyarrow",
    "transformers",
    "uvloop",
)
HIDDEN = "(hidden)"
OPEN_HEADERS = frozenset({"accept", "content-type", "user-agent", "x-request-id"})


def start(ready: Prepared, repository: Mapping[str, Any] | None) -> dict[str, Any]:
    """The manifest of a run that begins now; its `end` is None until it has one."""
    config, workload, prompts, lengths = ready.config, ready.workload, ready.prompts, ready.length_check
    return {
        "schema_version": SCHEMA_VERSION,
        "trie_version": trie.__version__,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "config": plain(config),
        "workload": {
            "name": workload.name,
            "source": workload.source,
            "sha256": workload.sha256,
            "traces": len(workload.traces),
            "skipped_too_long": workload.skipped,
            "synthetic": workload.synthetic,
            "mean_turns": round(fmean(trace.num_turns for trace in workload.traces), 3),
        },
        "prompts": {
            "source": prompts.source,
            "name": prompts.name,
            "fingerprint": prompts.fingerprint,
            "offset_tokens": lengths.offset_tokens,
            "calibrated": lengths.verified,
            "finding": lengths.finding,
            "template": None if lengths.template is None else asdict(lengths.template),
            "form": prompts.form.name,
            "form_note": lengths.form_note,
        },
        "seed": ready.seed,
        "repository": repository,  # of the experiment: commit and dirty
        "host": _host(),
        "server": ready.server(),
        "started": {"wall_clock": datetime.now(UTC).isoformat(timespec="milliseconds"), "unix_s": time.time()},
        "end": None,
    }


def plain(config: RunConfig) -> dict[str, Any]:
    """The settings as JSON values; the values of headers are hidden, since keys travel in them."""
    found = _plain(asdict(config))
    headers: Mapping[str, str] = config.endpoint.headers
    found["endpoint"]["headers"] = {
        name: value if name.lower() in OPEN_HEADERS else HIDDEN for name, value in headers.items()
    }
    return found  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(found) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(found) for found in value]
    return value.name if isinstance(value, Enum) else value


def _host() -> dict[str, Any]:
    return {
        "name": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


PATIENCE_S = 2.0  # for each of the two questions; a repository too large for that is not waited for
KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "SYSTEMROOT")  # no key, and no GIT_DIR that points elsewhere
OUTPUTS = ("outputs", "multirun")  # where runs land: they make no repository dirty


def state(folder: Path, run: Path) -> dict[str, Any] | None:
    """`commit` and `dirty` of the repository around a folder; None without a repository or without git.

    Dirty means that a tracked file is changed or that a file is neither tracked nor ignored, beside those of the run
    itself. Either is None where it is not known: a repository without a commit, or git did not answer in time.
    Nothing else is asked for, so no remote's address, which may hold credentials, is ever read. Blocks for two times
    PATIENCE_S at most.
    """
    folder, run = folder.absolute(), run.absolute()
    root = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)
    head = None if root is None else _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if root is None or head is None or head.returncode not in (0, 1):
        return None
    beside = [*OUTPUTS, run.relative_to(root).as_posix()] if run.is_relative_to(root) else [*OUTPUTS]
    excluded = [f":(exclude,top,literal){path}" for path in beside]
    changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ":(top)", *excluded)
    known = changes is not None and changes.returncode == 0
    return {
        "commit": head.stdout.strip() or None,
        "dirty": bool(changes.stdout.strip()) if changes is not None and known else None,
    }


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """One question to git, which takes no lock and starts no program that the repository's own settings name."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        return subprocess.run(  # noqa: S603 - a fixed command, no shell
            command,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: given[name] for name in KEPT if name in given}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
