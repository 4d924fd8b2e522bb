"""Run directories as finished runs leave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.manifests import manifest
from trie.metrics.evaluate_run import write_summary
from trie.storage.record import RequestRecord
from trie.storage.run_dir import RunDir


def written_run(path: Path, rows: Sequence[RequestRecord], *, summary: bool = True, **about: Any) -> RunDir:
    """A run of these rows; `about` as in `manifests.manifest`."""
    run, writer = RunDir.create(path)
    writer.write(list(rows))
    run.write_manifest(manifest(**about))
    if summary:
        write_summary(run)
    return run
