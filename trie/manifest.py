"""What a run states about itself: settings, versions, host, server, prompts. Never a secret."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean
from typing import Any

import trie
from trie.config import RunConfig
from trie.preparation import Prepared

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
    config, workload, prompts, calibration = ready.config, ready.workload, ready.prompts, ready.calibration
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
            "offset_tokens": calibration.offset_tokens,
            "calibrated": calibration.proven,
            "finding": calibration.finding,
            "template": None if calibration.template is None else asdict(calibration.template),
            "form": prompts.form.name,
            "form_note": calibration.form_note,
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
