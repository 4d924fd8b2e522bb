"""Every number and check of summary.json against a second computation, after docs/metrics.md and docs/checks.md.

The runs are made up: sessions that complete, fail and are cut off, retries, requests that were never sent, answers in
one chunk and in bursts, usage that is missing as a whole or in part. Instants are tenths of seconds, so that many are
equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import plain_checks
import plain_python
import pyarrow.parquet as pq
import pytest
from helpers.rows import row
from helpers.run_directories import written_run

from trie.metrics.evaluate_run import write_summary
from trie.storage.record import Outcome, RequestRecord

COUNTERS = {
    "vllm:prompt_tokens_total": 812_345.0,
    "vllm:prefix_cache_hits_total": 400_001.0,
    "vllm:generation_tokens_total": 34_567.0,
    'vllm:request_success_total{finished_reason="length"}': 140.0,
    'vllm:request_success_total{finished_reason="stop"}': 9.0,
    "vllm:request_queue_time_seconds_sum": 12.5,
    "vllm:request_queue_time_seconds_count": 149.0,
    "vllm:time_to_first_token_seconds_sum": 77.0,
    "vllm:time_to_first_token_seconds_count": 151.0,
    "vllm:e2e_request_latency_seconds_sum": 812.0,
    "vllm:e2e_request_latency_seconds_count": 149.0,
}
CLIENT = {"cpu_s": 31.25, "loop_lag_p50_s": 0.0001, "loop_lag_p99_s": 0.004, "loop_lag_max_s": 0.2, "samples": 9000}
ENGINE = {"engines": 2, "restarted": False, "counters": COUNTERS, "settled": True}
END = {"reason": "deadline", "wall_time_s": 300.0, "client": CLIENT, "engine": ENGINE}
CALIBRATION = {
    "concurrency": 8, "chunks_s": 800.0, "reached_chunks_s": 799.0, "requests": 64, "ttft_p50_s": 0.0001,
    "ttft_p99_s": 0.0004, "decode_p50": 0.001, "decode_p99": 0.01, "cpu_share": 0.2, "ceiling_chunks_s": 90_000.0,
    "ceiling_cpu_share": 1.0, "share_of_ceiling": 0.009,
}  # fmt: skip

RUNS: dict[str, dict[str, Any]] = {
    "ordinary": {"end": END, "num_gpus": 4},
    "killed": {"end": None},
    "cut off by Ctrl-C": {"end": {**END, "reason": "interrupted", "wall_time_s": 61.5, "engine": None}},
    "not streamed": {"end": END, "stream": False},
    "with a template": {
        "end": END,
        "prompts": {"template": {"first_tokens": 9, "per_turn_tokens": 13}, "offset_tokens": 3},
        "endpoint": {"bos_tokens": 1},
    },
    "counters of one server of several": {
        "end": {**END, "engine": {**ENGINE, "counters": {**COUNTERS, "vllm:prompt_tokens_total": 50.0}}}
    },
    "of a mixture, skipped and synthetic": {
        "end": {**END, "reason": "max_failures", "wall_time_s": 301.0},
        "max_failures": 5,
        "workload": {"skipped_too_long": 3, "synthetic": True},
        "server": {"in_flight_before": 2, "engines": ["vLLM 0.32.0", "SGLang 0.5"]},
        "history": "recorded",
        "limits": {"failure_rate": 0.5, "censored_share": 0.9, "prompt_drift": 9.0, "completion_drift": 9.0},
    },
    "under 30 s": {"end": {**END, "wall_time_s": 20.0}},
    "of no time": {"end": {**END, "wall_time_s": 0.0}},
}


class Draw(Random):
    """Values as a server's answers have them, odd ones included."""

    def tenths(self, most: int = 40) -> float:
        return self.randint(0, most) / 10

    def chance(self, share: float) -> bool:
        return self.random() < share

    def tokens(self, most: int = 3000) -> int:
        return self.choice((0, 1, 2, self.randint(3, 300), self.randint(3, most)))


def session(draw: Draw, number: int, *, reports: str) -> list[RequestRecord]:
    """One session, cut short by a failure, by the end or not at all."""
    turns = draw.choice((0, 1, 1, 2, 5))
    started = draw.randint(1, turns + 1)
    last = draw.choice((Outcome.ok, Outcome.ok, Outcome.failed, Outcome.cancelled))
    now = draw.tenths(900)
    rows = []
    for turn in range(started):
        outcome = last if turn == started - 1 else Outcome.ok
        fields = request(draw, now, outcome, reports=reports)
        rows.append(row(number, turn, turns=turns, outcome=outcome, **fields))
        now = fields["end_s"] + draw.tenths(20)
    return rows


def request(draw: Draw, queued: float, outcome: Outcome, *, reports: str) -> dict[str, Any]:
    sent = queued + draw.choice((0.0, 0.0, 0.1))
    attempts = draw.choice((1, 1, 1, 2, 4))
    attempt_sent = sent + (draw.tenths(20) if attempts > 1 else 0.0)
    first = attempt_sent + draw.tenths()
    last = first + draw.tenths()
    fields: dict[str, Any] = {
        "queued_s": queued, "sent_s": sent, "attempt_sent_s": attempt_sent, "first_token_s": first,
        "last_token_s": last, "end_s": last + draw.choice((0.0, 0.0, 1.0)), "attempts": attempts,
        "rate_limited": draw.randint(0, attempts - 1), "chunks": draw.choice((1, 2, 40)),
        "burst_share": draw.choice((None, 0.2, 0.5, 0.9)), "first_chunk_tokens": draw.choice((None, None, 1, 18)),
        "hidden_tokens": draw.choice((None, 0, 0, 5, 200)), "max_gap_s": draw.choice((None, 0.1, 0.7)),
        "new_prompt_tokens": draw.tokens(), "cached_prompt_tokens": draw.tokens(),
        "requested_completion_tokens": draw.randint(1, 500),
        "finish_reason": draw.choice((None, "stop", "length", "length")),
        "worker": draw.choice((None, "a", "b", "b")), "loop_lag_s": draw.choice((0.0, 0.004, 0.3)),
        **usage(draw, reports),
    }  # fmt: skip
    if reports != "nothing":  # as in files from before these columns
        fields |= {"first_token_lag_s": draw.choice((0.0, 0.002, 3.0)), "later_lag_s": draw.choice((0.0, 0.05))}
    if draw.chance(0.1):
        fields |= draw.choice(({"last_token_s": None}, {"first_token_s": None, "last_token_s": None}))
    if outcome is not Outcome.ok:
        fields |= ended_early(draw, outcome, fields)
    return fields


def usage(draw: Draw, reports: str) -> dict[str, int | None]:
    """What the server reports: nothing, no cached tokens at all, or all of it and in some answers only a part."""
    counts: dict[str, int | None] = {
        "usage_prompt_tokens": draw.tokens(),
        "usage_completion_tokens": draw.tokens(500),
        "usage_cached_tokens": draw.tokens(),
    }
    silent = dict.fromkeys(counts)
    if reports == "nothing":
        return silent
    if reports == "no cached tokens":
        return counts | {"usage_cached_tokens": None}
    if reports == "in part" and draw.chance(0.3):
        return draw.choice((silent, counts | {"usage_cached_tokens": None}, counts | {"usage_prompt_tokens": None}))
    return counts


def ended_early(draw: Draw, outcome: Outcome, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A request that failed or was cut off: before it was sent, before its first token, or after it."""
    kinds = ("reset", "timeout", "http_status", None) if outcome is Outcome.failed else ("deadline",)
    early: dict[str, Any] = {"error_kind": draw.choice(kinds)}
    before_token = {"first_token_s": None, "last_token_s": None, "chunks": 0, **usage(draw, "nothing")}
    match draw.choice(("before it was sent", "before its first token", "after it")):
        case "before it was sent":
            never = {"sent_s": None, "attempt_sent_s": None, "end_s": fields["queued_s"], "attempts": 0}
            early |= before_token | never | {"rate_limited": 0}
        case "before its first token":
            early |= before_token
    return early


@pytest.mark.parametrize("reports", ["all", "in part", "no cached tokens", "nothing"])
@pytest.mark.parametrize("about", RUNS.values(), ids=list(RUNS))
@pytest.mark.parametrize("sessions", [0, 2, 7, 100])
def test_every_number_of_a_run(tmp_path: Path, about: Mapping[str, Any], reports: str, sessions: int) -> None:
    draw = Draw(f"{sorted(about)} {reports} {sessions}")
    rows = [request for number in range(sessions) for request in session(draw, number, reports=reports)]
    draw.shuffle(rows)
    written_run(tmp_path / "run", rows, **about)
    against_plain_python(tmp_path / "run")


def test_a_calibrated_run(tmp_path: Path) -> None:
    rows = [request for number in range(20) for request in session(Draw(1), number, reports="all")]
    run = written_run(tmp_path / "run", rows, summary=False, end=END)
    manifest = json.loads((run.path / "manifest.json").read_text())
    (run.path / "manifest.json").write_text(json.dumps(manifest | {"client_calibration": CALIBRATION}))
    assert write_summary(run).to_json()["client"]["calibration"] == CALIBRATION
    against_plain_python(run.path)


def against_plain_python(run: Path) -> None:
    """Both read the files of the run: one its summary.json, the other its rows and manifest."""
    written = json.loads((run / "summary.json").read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    rows = [line for part in sorted((run / "requests").glob("*.parquet")) for line in pq.read_table(part).to_pylist()]
    checks, valid = written.pop("verdict"), written.pop("valid")
    written.pop("certainty")  # tests/metrics/test_certainty*.py
    steadiness = written.pop("steadiness")  # test_steadiness.py computes it a second time
    for key, nothing in {"slo": [], "goodput": None, "goodput_by_tier": {}, "cost": None}.items():
        assert written.pop(key) == nothing  # tests/metrics/test_slo.py
    expected = plain_python.summary(rows, manifest)
    differences = same(written, expected)
    assert not differences, "\n".join(differences)
    failing = plain_checks.failing({**expected, "steadiness": steadiness}, manifest)
    assert {check["id"]: check["level"] for check in checks if not check["ok"]} == failing
    assert valid == ("error" not in failing.values())
    levels = [check["level"] for check in checks]
    assert levels == sorted(levels), "errors first"


def same(written: Any, expected: Any, path: str = "") -> list[str]:
    """Where two summaries differ; keys of either that the other lacks, too."""
    if isinstance(written, Mapping) and isinstance(expected, Mapping):
        keys = dict.fromkeys((*written, *expected))
        missing = "(missing)"
        return [
            line
            for key in keys
            for line in same(written.get(key, missing), expected.get(key, missing), f"{path}.{key}")
        ]
    numbers = isinstance(written, int | float) and isinstance(expected, int | float)
    equal = written == pytest.approx(expected, rel=1e-9, abs=1e-9) if numbers else written == expected
    return [] if equal else [f"{path[1:]}: {written}, by hand {expected}"]
