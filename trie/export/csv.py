"""CSV: one line for each request, or one for each number of the summary; what was not measured is empty."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from trie.export.durations import plain, requests_of
from trie.metrics.metric_names import described, numbers

if TYPE_CHECKING:
    import pyarrow as pa

DURATIONS = ("ttft_s", "tpot_s", "latency_s")  # behind the columns of docs/records.md; of requests that ended well
SUMMARY = ("key", "label", "statistic", "unit", "better", "value")


def write_requests(rows: pa.Table, manifest: Mapping[str, Any], out: IO[str]) -> None:
    """The rows by session and turn, each with its durations in seconds behind its own columns."""
    requests = requests_of(rows, manifest)
    durations = [plain(getattr(requests, name)) for name in DURATIONS]
    ordered = rows.sort_by([("session_id", "ascending"), ("turn", "ascending")])
    columns = [ordered.column(name).to_pylist() for name in ordered.schema.names]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ordered.schema.names, *DURATIONS])
    writer.writerows(zip(*columns, *durations, strict=True))


def write_summary(summary: Mapping[str, Any], out: IO[str]) -> None:
    """Every number of a summary.json with its declaration."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SUMMARY)
    for key, value in numbers(summary).items():
        of = described(key)
        writer.writerow([key, of.label, of.statistic, of.unit, of.better, value])
