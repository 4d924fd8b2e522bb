"""CSV: one line for each request, or one for each number of the summary; what was not measured is empty."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from trie.export.durations import plain, requests_of
from trie.metrics.metric_names import described, numbers

if TYPE_CHECKING:
    import pyarrow as pa

SUMMARY = ("key", "label", "statistic", "unit", "better", "value")


def write_requests(rows: pa.Table, manifest: Mapping[str, Any], out: IO[str]) -> None:
    """The rows by session and turn, each with the metrics of requests, in seconds, behind its own columns."""
    durations = {
        key: plain(values)
        for key, values in requests_of(rows, manifest).durations.items()
        if key not in rows.schema.names
    }
    ordered = rows.sort_by([("session_id", "ascending"), ("turn", "ascending")])
    columns = [ordered.column(name).to_pylist() for name in ordered.schema.names]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ordered.schema.names, *durations])
    writer.writerows(zip(*columns, *durations.values(), strict=True))


def write_summary(summary: Mapping[str, Any], out: IO[str]) -> None:
    """Every number of a summary.json with its declaration."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SUMMARY)
    for key, value in numbers(summary).items():
        description = described(key)
        labels = (description.label, description.statistic, description.unit, description.better)
        writer.writerow([key, *labels, value])
