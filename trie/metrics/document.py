"""docs/metrics.md out of the declarations, so that the page can't say anything else than the tables do.

`python -m trie.metrics.document > docs/metrics.md` writes it again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from trie.metrics.declarations import (
    PER_REQUEST,
    PER_TRACE,
    RUN,
    STATISTICS,
    WINDOW_DEFINITIONS,
    WINDOW_LABELS,
    WINDOWS,
    WORKLOAD,
    Metric,
)

_INTRODUCTION = """\
# Metrics

<!-- Generated from trie/metrics/declarations.py: change it there, then run
     python -m trie.metrics.document > docs/metrics.md -->

Every number below is derived from the rows in `requests/` and from `manifest.json` alone, so `trie report RUN_DIR`
gives again what the run gave. *Reference* marks a metric that is defined as `tokenspeed-trie` defines it; *ours* is an
addition. A value that was not measured is `null` in `summary.json` and `-` in the tables, never 0.

A trace is **completed** when its final request ended well, **failed** when one of its requests failed, otherwise
**cancelled**: cut off by the deadline or by Ctrl-C, in a request or in a tool wait. A request is `ok`, `failed` or
`cancelled`; the failure rate is failed / (ok + failed). In the log line `benchmark complete`, `completed_requests` and
its neighbours count traces, each of which is one request of an agent's user.
"""

_CONVENTIONS = """\
## Conventions

- Completion tokens are those of the server's usage where it reports them, else those that were asked for.
- Percentiles interpolate linearly between neighbours.
- The throughput table counts tokens by the trace's own lengths; cache rates count what the server reports. Where the
  two part, drift says so. Drift is stated raw: what calibration found the server to add to a prompt stands beside it as
  `drift.offset_tokens` and is not taken off. For completions the first prompt was made shorter by a BOS token, so the
  expected drift is 0; a chat template's tokens are part of the drift.
- In a run where some requests report cached tokens, usage without the field counts as 0 cached tokens, since several
  engines leave a zero out; `cache.omitted_zero_requests` says how often.
- Cache rates are over completed traces in which every request reports usage; a trace without eligible tokens (one
  request) has no eligible rate.
- Without streaming there are no first tokens: TTFT, TTFAT, decode speed, TPOT and gaps are not measured.
- The wall time is that of the manifest; for a run that was killed, the last instant in its rows.
- Censored traces enter the Kaplan-Meier figures as lasting at least until the end of the run, failed ones until their
  failure.
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Per trace\n",
            f"`per_trace` in `summary.json`, over completed traces, each with {', '.join(STATISTICS)}.\n",
            *_table(PER_TRACE),
            "\n## Workload throughput\n",
            "`workload` in `summary.json`. A request that ended well makes a point at its end; cumulative tokens over",
            "these points give each of the four rates in four columns.\n",
            *_table(WORKLOAD),
            "",
            *_windows(),
            "\n## Per request\n",
            f"`per_request` in `summary.json`, over requests that ended well, each with {', '.join(STATISTICS)}.\n",
            *_table(PER_REQUEST),
            "\n## The run\n",
            "Keys with a dot lie in the object of that name.\n",
            *_table(RUN),
            "",
            _CONVENTIONS,
        ]
    )


def _table(metrics: Iterable[Metric]) -> Iterator[str]:
    yield "| key | name | unit | better | definition | |"
    yield "|---|---|---|---|---|---|"
    for metric in metrics:
        origin = "reference" if metric.reference else "ours"
        cells = (f"`{metric.key}`", metric.label, metric.unit, metric.better or "", metric.definition, origin)
        yield f"| {' | '.join(cells)} |"


def _windows() -> Iterator[str]:
    yield "| key | column | definition |"
    yield "|---|---|---|"
    for key, label in zip(WINDOWS, WINDOW_LABELS, strict=True):
        yield f"| `{key}` | {label} | {WINDOW_DEFINITIONS[key]} |"


if __name__ == "__main__":
    sys.stdout.write(page())
