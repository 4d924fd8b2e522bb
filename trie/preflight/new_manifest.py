"""The manifest of a run that begins now, out of its settings and of what preflight found."""

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
from trie.preflight.steps import Prepared
from trie.storage import manifest
from trie.storage.manifest import Manifest, Repository
from trie.storage.typed_json import decode

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


def new_manifest(ready: Prepared, repository: Repository | None) -> Manifest:
    """The manifest of a run that begins now; it has no end yet."""
    workload = ready.workload
    return Manifest(
        trie_version=trie.__version__,
        versions={"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        config=plain(ready.config),
        workload=manifest.Workload(
            name=workload.name,
            source=workload.source,
            sha256=workload.sha256,
            traces=len(workload.traces),
            skipped_too_long=workload.skipped,
            synthetic=workload.synthetic,
            mean_turns=round(fmean(trace.num_turns for trace in workload.traces), 3),
            imported=workload.imported,
        ),
        prompts=_prompts(ready),
        seed=ready.seed,
        repository=repository,
        host=_host(),
        server=decode(manifest.Server, ready.server()),
        started=manifest.Started(wall_clock=datetime.now(UTC).isoformat(timespec="milliseconds"), unix_s=time.time()),
        end=None,
        clock=ready.config.clock.name,
    )


def _prompts(ready: Prepared) -> manifest.Prompts:
    prompts, lengths = ready.prompts, ready.length_check
    template = lengths.template
    return manifest.Prompts(
        source=prompts.source,
        name=prompts.name,
        fingerprint=prompts.fingerprint,
        offset_tokens=lengths.offset_tokens,
        calibrated=lengths.verified,
        finding=lengths.finding,
        template=None if template is None else manifest.Template(**asdict(template)),
        form=prompts.form.name,
        form_note=lengths.form_note,
    )


def plain(config: RunConfig) -> dict[str, Any]:
    """The settings as JSON values; the values of headers are hidden, since keys travel in them."""
    settings = _plain(asdict(config))
    headers: Mapping[str, str] = config.endpoint.headers
    settings["endpoint"]["headers"] = {
        name: value if name.lower() in OPEN_HEADERS else HIDDEN for name, value in headers.items()
    }
    return settings  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
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
