"""All formats, and which of them a file is of."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from trie.errors import WorkloadError, near_miss
from trie.workload.importers import messages, source, tables
from trie.workload.importers.agentic_bench import AGENTIC_BENCH
from trie.workload.importers.agentic_mooncake import AGENTIC_MOONCAKE
from trie.workload.importers.bailian import BAILIAN
from trie.workload.importers.claude_code import CLAUDE_CODE
from trie.workload.importers.codex import CODEX
from trie.workload.importers.dynamo import DYNAMO
from trie.workload.importers.importer import Importer
from trie.workload.importers.litellm import LITELLM
from trie.workload.importers.mooncake import MOONCAKE
from trie.workload.importers.otel import OTEL
from trie.workload.importers.own import TRIE
from trie.workload.importers.tracelab import TRACELAB
from trie.workload.importers.weka import WEKA

FORMATS = (
    TRIE,
    MOONCAKE,
    AGENTIC_MOONCAKE,
    WEKA,
    TRACELAB,
    OTEL,
    CLAUDE_CODE,
    CODEX,
    messages.SWE_AGENT,
    messages.MESSAGES,
    messages.MLPERF,
    messages.SHAREGPT,
    LITELLM,
    DYNAMO,
    AGENTIC_BENCH,
    BAILIAN,
    tables.AZURE,
    tables.BURSTGPT,
)
SAMPLE = 50  # documents that are looked at


def named(name: str) -> Importer:
    """The format of a name.

    Raises:
        WorkloadError: when there is none.
    """
    for importer in FORMATS:
        if importer.name == name:
            return importer
    names = [importer.name for importer in FORMATS]
    raise WorkloadError(f"--format {name}: must be auto or one of {', '.join(names)}{near_miss(name, names)}")


def detect(path: Path) -> tuple[Importer, str]:
    """The format of a file or a folder, and by what it was told.

    Raises:
        WorkloadError: when it is of none.
    """
    for file in source.files(path):
        for row in islice(_sample(file), SAMPLE):
            for importer in FORMATS:
                if (reason := importer.recognize(row)) is not None:
                    return importer, reason
    names = ", ".join(importer.title for importer in FORMATS)
    raise WorkloadError(f"{path}: of no format that is known ({names}); --format names one")


def _sample(file: Path) -> Iterator[Mapping[str, Any]]:
    """The first documents of a file, or the names and values of a CSV file's first row."""
    first = next(source.lines(file), None)
    if first is None:
        return
    if first[1].lstrip()[:1] not in (b"{", b"["):
        text = (line.decode("utf-8", "replace") for _, line in islice(source.lines(file), 2))
        with suppress(csv.Error):  # no table either, such as one endless word
            yield from csv.DictReader(text)
        return
    for document in source.documents(file):
        if isinstance(document.content, dict):
            yield document.content
