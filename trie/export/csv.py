"""CSV: one line for each request, or one for each number of the summary; what was not measured is empty."""

from __future__ import annotations

import csv
from typing import IO

from trie.export.durations import plain, requests_of
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.metric_names import described, numbers

SUMMARY = ("key", "label", "statistic", "unit", "better", "value")


def write_requests(run: EvaluatedRun, out: IO[str]) -> None:
    """The rows by session and turn, each with the metrics of requests, in seconds, behind its own columns."""
    durations = {
        key: plain(values) for key, values in requests_of(run).durations.items() if key not in run.rows.schema.names
    }
    ordered = run.measured.sort_by([("session_id", "ascending"), ("turn", "ascending")])
    columns = [ordered.column(name).to_pylist() for name in ordered.schema.names]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ordered.schema.names, *durations])
    writer.writerows(zip(*columns, *durations.values(), strict=True))


def write_summary(run: EvaluatedRun, out: IO[str]) -> None:
    """Every number of the summary with its declaration."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SUMMARY)
    for key, value in numbers(run.summary.to_json()).items():
        description = described(key)
        labels = (description.label, description.statistic, description.unit, description.better)
        writer.writerow([key, *labels, value])
