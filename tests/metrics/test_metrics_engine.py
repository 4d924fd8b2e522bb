"""The engine's own counters beside the rows: figures by hand, differences, conditions of the verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.checks.check import Check
from trie.metrics.columns import Columns
from trie.metrics.engine_counters import engine
from trie.metrics.sections import EngineCounts
from trie.metrics.summary import Summary, summarize
from trie.report.engine import engine_lines, engine_table
from trie.storage.manifest import Manifest, WorkerEnd
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.storage.typed_json import encode

VLLM = {
    "vllm:prompt_tokens_total": 200.0,
    "vllm:prefix_cache_hits_total": 50.0,
    "vllm:generation_tokens_total": 22.0,
    'vllm:request_success_total{finished_reason="length"}': 2.0,
    "vllm:request_queue_time_seconds_sum": 0.2,
    "vllm:request_queue_time_seconds_count": 2.0,
    "vllm:time_to_first_token_seconds_sum": 0.8,
    "vllm:time_to_first_token_seconds_count": 2.0,
    "vllm:inter_token_latency_seconds_sum": 1.9,
    "vllm:inter_token_latency_seconds_count": 20.0,
    "vllm:e2e_request_latency_seconds_sum": 2.9,
    "vllm:e2e_request_latency_seconds_count": 2.0,
}
TWO = [row(0), row(1, usage_cached_tokens=50)]  # TTFT 0.5 s, 11 tokens within 1 s, latency 1.5 s


def ended(counted: dict[str, float] | None, engines: int = 1) -> Manifest:
    growth = {"engines": engines, "restarted": False, "counters": counted, "settled": True}
    dialect = {"name": "vllm", "version": "0.32.0"}
    return manifest(end={"engine": None if counted is None else growth}, server={"dialect": dialect})


def summary(rows: list[RequestRecord], counted: dict[str, float] | None, engines: int = 1) -> Summary:
    return summarize(to_table(rows), ended(counted, engines))


def test_figures_and_differences() -> None:
    account = engine(Columns(to_table(TWO)), ended(VLLM))
    assert account is not None
    assert encode(account.counted) == {
        "prompt_tokens": 200.0,
        "cached_tokens": 50.0,
        "completion_tokens": 22.0,
        "requests": 2.0,
        "preemptions": 0.0,
        "queue_s": pytest.approx(0.1),
        "ttft_s": pytest.approx(0.4),
        "itl_s": pytest.approx(0.095),
        "e2e_s": pytest.approx(1.45),
        "hit_rate_pct": 25.0,
    }
    assert encode(account.difference) == {
        "prompt_tokens": 0.0,
        "cached_tokens": 0.0,
        "completion_tokens": 0.0,
        "requests": 0.0,
        "preemptions": None,
        "queue_s": None,
        "ttft_s": pytest.approx(0.1),
        "itl_s": pytest.approx(0.005),
        "e2e_s": pytest.approx(0.05),
    }
    assert account.comparable


def test_what_the_rows_sums_lack_is_said() -> None:
    """A cancelled request has a first token, which counts, and no usage, which does not."""
    cut = row(2, outcome=Outcome.cancelled, first_token_s=0.2, usage_prompt_tokens=None, usage_completion_tokens=None)
    account = engine(Columns(to_table([*TWO, cut])), ended({**VLLM, "vllm:prompt_tokens_total": 300.0}, engines=2))
    assert account is not None
    assert not account.comparable
    assert account.difference.prompt_tokens == 100.0
    assert account.rows.ttft_s == pytest.approx(0.4)
    first, second = engine_lines(account)
    assert first == (
        "vLLM 0.32.0, 2 engines, counted 300 prompt tokens (rows: 200), 16.67 % cached (rows 25.00 %), 22 completion "
        "tokens (rows: 22), 0 preemptions, queue 100.00 ms mean, TTFT 400.00 ms (client 400.00 ms)"
    )
    assert second == "beside these rows it may have counted 1 cancelled requests"
    assert "1 cancelled" in (engine_table(account).note or "")


def test_llama_cpp_counts_what_it_computed_and_what_it_had() -> None:
    counted = {"llamacpp:prompt_tokens_total": 150.0, "llamacpp:prompt_tokens_cached_total": 50.0}
    account = engine(Columns(to_table(TWO)), ended(counted))
    assert account is not None
    assert (account.counted.prompt_tokens, account.counted.hit_rate_pct) == (200.0, 25.0)
    assert account.counted.preemptions is None
    assert account.counted.ttft_s is None


@pytest.mark.parametrize("counted", [None, {}, {"other:prompt_tokens_total": 1.0}])
def test_without_counters_there_is_nothing(counted: dict[str, float] | None) -> None:
    assert summary(TWO, counted).facts["engine"] is None


def check(found: Summary, name: str) -> Check | None:
    return next((check for check in found.verdict if check.id == name), None)


def counting(prompt: float, completion: float, ttft_s: float = 0.5) -> dict[str, float]:
    """What vLLM counted, a mean TTFT of so many seconds included."""
    return {
        "vllm:prompt_tokens_total": prompt,
        "vllm:generation_tokens_total": completion,
        "vllm:time_to_first_token_seconds_sum": ttft_s * 2,
        "vllm:time_to_first_token_seconds_count": 2.0,
    }


CUT: dict[str, Any] = {"outcome": Outcome.cancelled, "usage_prompt_tokens": None, "usage_completion_tokens": None}
BROKEN = {**CUT, "outcome": Outcome.failed, "error_kind": "reset"}
OTHERS, BELOW, OUTSIDE = "engine_served_this_run_alone", "engine_counted_all", "ttft_is_the_engines"
TEN = [row(i) for i in range(10)]  # 1,000 prompt and 110 completion tokens, TTFT 500 ms

COUNTED: dict[str, tuple[list[RequestRecord], dict[str, float], tuple[str, str] | None, str]] = {
    "what the rows have": (TEN, counting(1000, 110), None, ""),
    "a health check": (TEN, counting(1009, 111), None, ""),
    "a little of others": (TEN, counting(1040, 110), (OTHERS, "warning"), "at least 3.8% are the work of others"),
    "much of others": (TEN, counting(3260, 110), (OTHERS, "error"), "3,260 prompt and 110 completion tokens were"),
    "completion tokens of others": (TEN, counting(1000, 220), (OTHERS, "error"), "at least 50.0%"),
    "cancelled requests": ([*TEN, row(10, **CUT), row(11, **CUT)], counting(1200, 132), None, ""),
    "cancelled requests that count less": ([*TEN, row(10, **CUT), row(11, **CUT)], counting(1100, 115), None, ""),
    "cancelled requests and others": (
        [*TEN, row(10, **CUT), row(11, **CUT)],
        counting(2400, 132),
        (OTHERS, "error"),
        "can have caused at most 1,200 prompt and 132 completion tokens: at least 50.0%",
    ),
    "failed requests, each tried three times": ([*TEN, row(10, attempts=3, **BROKEN)], counting(1300, 143), None, ""),
    "retries that ended well": ([*TEN[:9], row(9, attempts=2)], counting(1100, 121), None, ""),
    "retries of what was rate limited": (
        [*TEN[:9], row(9, attempts=3, rate_limited=2)],
        counting(1200, 132),
        (OTHERS, "error"),
        "at most 1,000 prompt",
    ),
    "a template's tokens in cancelled requests": (
        [row(i, usage_prompt_tokens=120) for i in range(10)] + [row(10, **CUT)],
        counting(1320, 121),
        None,
        "",
    ),
    "no usage in one": ([*TEN[:9], row(9, usage_prompt_tokens=None)], counting(1000, 110), None, ""),
    "no usage": ([row(i, usage_prompt_tokens=None) for i in range(10)], counting(9000, 110), None, ""),
    "less than the rows": (TEN, counting(400, 110), (BELOW, "error"), "400 prompt and 110 completion tokens were"),
    "fewer answers than the rows": (TEN, counting(1000, 50), (BELOW, "error"), "are not believed"),
    "written down late": (TEN, counting(960, 106), None, ""),
    "TTFT outside": (TEN, counting(1000, 110, ttft_s=0.2), (OUTSIDE, "warning"), "300 of 500 ms"),
    "a near client": (TEN, counting(1000, 110, ttft_s=0.4), None, ""),
    "a fast engine": ([row(i, ttft=0.012) for i in range(10)], counting(1000, 110, ttft_s=0.003), None, ""),
}


@pytest.mark.parametrize(("rows", "counted", "fails", "words"), COUNTED.values(), ids=COUNTED.keys())
def test_the_engines_counts_are_judged(
    rows: list[RequestRecord], counted: dict[str, float], fails: tuple[str, str] | None, words: str
) -> None:
    """Beyond the rows an engine may count what cancelled, failed and repeated requests asked for, and no more."""
    found = summary(rows, counted)
    failed = [item for item in found.verdict if item.id in {OTHERS, BELOW, OUTSIDE} and not item.ok]
    assert [(item.id, item.level) for item in failed] == ([] if fails is None else [fails])
    assert all(words in item.found for item in failed)


def test_counters_below_the_rows_are_not_believed() -> None:
    account = summary(TEN, counting(400, 110, ttft_s=0.1)).engine
    assert account is not None
    assert account.disbelieved is not None
    assert (account.counted, account.disbelieved.prompt_tokens) == (EngineCounts(), 400.0)
    assert not account.comparable
    assert list(engine_lines(account)) == ["vLLM 0.32.0: its counters hold less than its answers and are not believed"]
    assert (
        Summary.from_json(summary(TEN, counting(400, 110)).to_json()).engine == summary(TEN, counting(400, 110)).engine
    )


@pytest.mark.parametrize("evidence", [None, "x fell from 9 to 1"])
def test_a_restart_is_an_error(evidence: str | None) -> None:
    growth = {"engines": 1, "restarted": True, "restart_evidence": evidence, "counters": {}}
    found = summarize(to_table(TEN), manifest(end={"engine": growth}))
    restarted = check(found, "engine_ran_throughout")
    assert restarted is not None
    assert (restarted.ok, restarted.level, found.engine) == (False, "error", None)
    assert (evidence or "its counters began anew") in restarted.found
    assert getattr(check(summary(TEN, counting(1000, 110)), "engine_ran_throughout"), "ok", None)
    assert check(summary(TEN, None), "engine_ran_throughout") is None


def test_a_router_with_metrics_of_the_engines_prefix_counts_no_tokens() -> None:
    assert summary(TEN, {"vllm:num_incoming_requests_total": 10.0}).engine is None


def test_preemptions_and_a_long_queue_are_warnings() -> None:
    busy = {**VLLM, "vllm:num_preemptions_total": 5.0, "vllm:request_queue_time_seconds_sum": 0.6}
    preempting, queue = (check(summary(TWO, busy), name) for name in ("engine_not_preempting", "short_queue"))
    assert preempting is not None
    assert queue is not None
    assert (preempting.level, preempting.ok, queue.level, queue.ok) == ("warning", False, "warning", False)
    assert "requests: 5" in preempting.found
    assert "300 of 400 ms to the first token passed" in queue.found
    calm = summary(TWO, VLLM)
    assert [getattr(check(calm, name), "ok", None) for name in ("engine_not_preempting", "short_queue")] == [True, True]
    assert check(summary(TWO, None), "engine_not_preempting") is None


@pytest.mark.parametrize(
    ("cached", "lost_tokens", "ok"),
    [(1008, 0, True), (869, 0, True), (819, 50, True), (818, 51, False), (0, 869, False)],
)
def test_what_the_cache_lost(cached: int, lost_tokens: int, ok: bool) -> None:
    """A second turn on 1,000 tokens of prompt and 11 of answer: 1,010 have KV, 63 blocks of 16 hold 1,008.

    Without the answer and a block of 128 it is 869 that are lost where they do not hit; 5 % of 1,011 are 50.55.
    """
    rows = [row(0, 0, turns=1, usage_prompt_tokens=1000), row(0, 1, turns=1, usage_prompt_tokens=1100)]
    rows[1].usage_cached_tokens = cached
    found = summarize(to_table(rows), manifest())
    assert found.facts["cache"]["lost_pct"] == pytest.approx(100 * lost_tokens / 1011)
    kept = check(found, "prefix_cache_kept")
    assert kept is not None
    assert kept.ok is ok


def test_requests_of_a_warm_up_are_among_those_that_the_engine_counts() -> None:
    account = summarize(to_table([row(0, sent=-2.0, warm_up=True), TWO[1]]), ended(VLLM)).engine
    assert account is not None
    assert (account.rows.prompt_tokens, account.difference.prompt_tokens) == (200.0, 0.0)


def test_tokens_of_rows_that_a_dead_worker_lost_are_not_the_work_of_others() -> None:
    found = ended(counting(3260, 110))
    assert found.end is not None
    died = replace(found, end=replace(found.end, workers=(WorkerEnd(worker_id=0, died="killed by signal 9"),)))
    assert check(summarize(to_table(TEN), found), OTHERS) is not None
    assert check(summarize(to_table(TEN), died), OTHERS) is None
