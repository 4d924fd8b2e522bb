"""A vLLM with little room: answers cut, caches evicted, requests preempted and queued, each shown as what it is."""

from __future__ import annotations

import pytest
from availability import Start
from counters import Counters
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from engine_setup.vllm import reset
from replaying import Finished, Replay
from workloads import trace, write

pytestmark = pytest.mark.engine
CONTEXT, BLOCKS, BLOCK, RUNNING = 2048, 80, 32, 4


@pytest.fixture(scope="module")
def cramped(start_vllm: Start) -> Server:
    """A cache of 2,560 tokens, a context of 2,048, four requests at a time."""
    return start_vllm(
        "--max-model-len", str(CONTEXT), "--num-gpu-blocks-override", str(BLOCKS), "--max-num-seqs", str(RUNNING)
    )  # fmt: skip


def run(server: Server, replay: Replay, rows: list[dict[str, object]], *settings: str) -> tuple[Finished, Counters]:
    """A run from an empty cache, and the counters before it."""
    reset(server)
    before = Counters.read(server)
    workload = write(replay.folder / "workload.jsonl", rows)
    tokenizer = f"tokenizer_model={model.folder(TinyModel())}"
    return replay.completed(server, workload, tokenizer, "prompts.calibrate=false", *settings), before


def test_a_trace_that_the_context_can_not_hold_is_refused_before_the_run(cramped: Server, replay: Replay) -> None:
    workload = write(replay.folder / "long.jsonl", [trace(2000, [], [], 100)])
    done = replay.run(cramped, workload, f"tokenizer_model={model.folder(TinyModel())}", "concurrency=1")
    assert done.code == 1
    (line,) = (line for line in done.said.splitlines() if str(CONTEXT) in line)
    assert "2100" in line.replace(",", "")


def test_answers_that_vllm_cuts_to_what_fits_are_short_completions(cramped: Server, replay: Replay) -> None:
    """By the accounting 1,990 + 58 tokens just fit; the chat template's come on top, and vLLM says nothing."""
    settings = ("endpoint.api=chat", "concurrency=2", "max_traces=4")
    done, _ = run(cramped, replay, [trace(1990, [], [], 58)], *settings)
    rows = done.rows
    added = rows.usage_prompt_tokens - 1990
    assert (added > 0).all()
    assert (rows.usage_completion_tokens == 58 - added).all()
    assert (rows.finish_reason == "length").all()
    check = done.check("completion_lengths")
    assert not check["ok"]
    assert not done.summary["valid"]
    assert f"{added.sum() / (4 * 58):.2%} of the requested completion tokens did not come" in check["found"]
    assert "4 requests: 4 ended by length" in check["found"]
    assert "the engine cut them to what fits its context" in check["advice"]


def test_an_evicted_prefix_is_a_miss(cramped: Server, replay: Replay) -> None:
    """Four traces whose prefixes take 4 x 1,000 of the 2,560 tokens: by the next turn they are gone."""
    done, _ = run(cramped, replay, [trace(1000, [8], [8], 8, latency=1.0)], "concurrency=4", "max_traces=4")
    alone, _ = run(cramped, replay, [trace(1000, [8], [8], 8)], "concurrency=1", "max_traces=1")
    later = done.rows[done.rows.turn == 1]
    assert len(later) == 4
    assert (later.usage_cached_tokens == 0).any()
    assert later.usage_cached_tokens.sum() < 4 * 992
    assert not done.check("prefix_cache_kept")["ok"]
    assert alone.check("prefix_cache_kept")["ok"]
    assert alone.rows.usage_cached_tokens.to_list() == [0, 992]  # 31 whole blocks of 1,007 tokens


def test_preempted_requests_end_well_and_whole(cramped: Server, replay: Replay) -> None:
    """Four requests of up to 816 tokens need 102 blocks of 80."""
    done, before = run(cramped, replay, [trace(16, [], [], 800)], "concurrency=4", "max_traces=8")
    preemptions = Counters.read(cramped).since(before, "num_preemptions_total")
    assert preemptions > 0
    assert not done.check("engine_not_preempting")["ok"]
    assert f"preemptions of running requests: {preemptions:,.0f}" in done.check("engine_not_preempting")["found"]
    assert done.summary["requests"] == {"ok": 8, "failed": 0, "cancelled": 0}
    assert (done.rows.usage_completion_tokens == 800).all()


def test_queueing_shows_in_the_first_token(cramped: Server, replay: Replay) -> None:
    """Twelve at once, four at a time: each group of four starts when the one before it has ended."""
    done, before = run(cramped, replay, [trace(64, [], [], 400)], "concurrency=12", "max_traces=12")
    theirs = Counters.read(cramped).histogram(before, "request_queue_time_seconds")
    ttft = (done.rows.first_token_s - done.rows.sent_s).sort_values().to_list()
    latency = (done.rows.end_s - done.rows.first_token_s).mean()
    assert ttft[3] < 0.5 * latency < ttft[4]
    assert ttft[7] < 1.5 * latency < ttft[8]
    assert sum(ttft) / 12 > theirs.mean > 0.5 * latency
    assert not done.check("short_queue")["ok"]
    assert done.summary["engine"]["counted"]["queue_s"] == pytest.approx(theirs.mean)
