"""The engine's own counters beside the rows: figures by hand, differences, conditions of the verdict."""

from __future__ import annotations

import pytest
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.checks.check import Check
from trie.metrics.columns import Columns
from trie.metrics.engine_counters import engine
from trie.metrics.summary import Summary, summarize
from trie.report.engine import engine_lines, engine_table
from trie.storage.manifest import Manifest
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
