"""What a run says against a real vLLM is what vLLM counted itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from counters import Counters, Histogram
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from engine_setup.vllm import reset
from replaying import Finished, Replay, assert_at_rest_after_a_kill
from workloads import agentic, trace, write

pytestmark = pytest.mark.engine
TRACES = 16
LONG = [trace(400, [6000], [10], 6000)]  # answers of some 30 s: none ends by itself in these tests


@dataclass(frozen=True)
class Observed:
    """A run, and what the engine counted over it."""

    run: Finished
    before: Counters
    after: Counters

    def grew(self, name: str) -> float:
        return self.after.since(self.before, name)

    def histogram(self, name: str) -> Histogram:
        return self.after.histogram(self.before, name)


@pytest.fixture(scope="module")
def agentic_run(one_vllm: Server, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """Agentic traces to their end, the engine serving nothing else in between: no check of prompt lengths either."""
    folder = tmp_path_factory.mktemp("agentic")
    reset(one_vllm)
    before = Counters.read(one_vllm)
    run = Replay(folder).completed(
        one_vllm,
        agentic(folder / "agentic.jsonl", TRACES),
        "concurrency=8",
        f"max_traces={TRACES}",
        f"tokenizer_model={model.folder(TinyModel())}",
        "prompts.calibrate=false",
    )
    return Observed(run, before, Counters.read(one_vllm))


def test_agentic_traces_complete_at_their_recorded_lengths(agentic_run: Observed) -> None:
    rows, summary = agentic_run.run.rows, agentic_run.run.summary
    assert summary["traces"] == {"completed": TRACES, "failed": 0, "cancelled": 0}
    assert summary["requests"]["failed"] == 0
    assert (rows.usage_completion_tokens == rows.requested_completion_tokens).all()
    assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()
    assert summary["drift"]["prompt_tokens"] == 0
    assert summary["drift"]["completion_short_ratio"] == 0
    assert "drift      prompt +0.00 % (at most 0 tokens a request)" in agentic_run.run.printed


def test_tokens_and_cache_hits_are_those_that_vllm_counted(agentic_run: Observed) -> None:
    rows = agentic_run.run.rows
    assert agentic_run.grew("request_success_total") == len(rows)
    assert agentic_run.grew("prompt_tokens_total") == rows.usage_prompt_tokens.sum()
    assert agentic_run.grew("generation_tokens_total") == rows.usage_completion_tokens.sum()
    assert agentic_run.grew("prefix_cache_queries_total") == rows.usage_prompt_tokens.sum()
    assert agentic_run.grew("prefix_cache_hits_total") == rows.usage_cached_tokens.sum()


def test_a_run_says_itself_that_it_agrees_with_the_engine(agentic_run: Observed) -> None:
    engine = agentic_run.run.summary["engine"]
    assert engine["name"] == "vllm"
    assert engine["comparable"]
    counts = ("prompt_tokens", "cached_tokens", "completion_tokens", "requests")
    assert [engine["difference"][key] for key in counts] == [0, 0, 0, 0]
    for key, name in (("ttft_s", "time_to_first_token_seconds"), ("e2e_s", "e2e_request_latency_seconds")):
        assert engine["counted"][key] == pytest.approx(agentic_run.histogram(name).mean)


def test_both_hit_rates_follow_from_what_vllm_counted(agentic_run: Observed) -> None:
    rows, summary = agentic_run.run.rows, agentic_run.run.summary
    hits, queries = agentic_run.grew("prefix_cache_hits_total"), agentic_run.grew("prefix_cache_queries_total")
    assert summary["cache"]["hit_rate_pct"] == pytest.approx(100 * hits / queries)
    rates, eligible_rates = [], []
    for _, session in rows.sort_values("turn").groupby("session_id"):
        cached = int(session.usage_cached_tokens.sum())
        eligible = (session.usage_prompt_tokens + session.usage_completion_tokens).iloc[:-1].sum()
        rates.append(100 * cached / session.usage_prompt_tokens.sum())
        eligible_rates.append(100 * cached / eligible)
    assert summary["per_trace"]["cache_hit_rate_pct"]["mean"] == pytest.approx(sum(rates) / TRACES)
    assert summary["per_trace"]["eligible_cache_hit_rate_pct"]["mean"] == pytest.approx(sum(eligible_rates) / TRACES)
    # Of each prefix all but its last sampled token, in whole blocks of 32: at most 32 tokens a turn are computed again.
    turns = rows[rows.turn > 0]
    before = rows.sort_values(["session_id", "turn"]).groupby("session_id")
    prefix = before.usage_prompt_tokens.shift() + before.usage_completion_tokens.shift()
    missed = prefix.reindex(turns.index) - turns.usage_cached_tokens
    assert missed.between(1, 32).all()
    assert (rows[rows.turn == 0].usage_cached_tokens == 0).all()


LATENCIES: dict[str, tuple[str, Callable[[pd.DataFrame], pd.Series]]] = {
    "ttft_s": ("time_to_first_token_seconds", lambda rows: rows.first_token_s - rows.sent_s),
    "latency_s": ("e2e_request_latency_seconds", lambda rows: rows.end_s - rows.sent_s),
    "tpot_s": (
        "request_time_per_output_token_seconds",
        lambda rows: (rows.last_token_s - rows.first_token_s) / (rows.usage_completion_tokens - 1),
    ),
}


@pytest.mark.parametrize("metric", LATENCIES)
def test_latencies_lie_in_the_buckets_of_vllm_s_own(metric: str, agentic_run: Observed) -> None:
    """The client's quantile lies in the bucket of vLLM's own, or in a neighbour.

    The client's share, what lies between the API server's own clock and ours, moves a value that is close to a bound
    across it; and of an even number of values a histogram's quantile is the lower of the two that ours is between.
    """
    name, of = LATENCIES[metric]
    theirs, ours = agentic_run.histogram(name), of(agentic_run.run.rows)
    assert theirs.count == len(ours)
    for quantile, key in ((0.5, "p50"), (0.9, "p90")):
        value = agentic_run.run.summary["per_request"][metric][key]
        assert value == pytest.approx(ours.quantile(quantile))
        assert abs(theirs.place(value) - theirs.bucket(quantile)) <= 1, (value, theirs.quantile(quantile))
    print(f"{metric}: mean {ours.mean() * 1e3:.2f} ms, vLLM's {theirs.mean * 1e3:.2f} ms")
    if metric != "tpot_s":  # nothing arrives before it is sent
        assert ours.mean() > theirs.mean
    assert ours.mean() == pytest.approx(theirs.mean, rel=0.2)


def test_time_per_token_is_vllm_s_inter_token_latency(agentic_run: Observed) -> None:
    rows, theirs = agentic_run.run.rows, agentic_run.histogram("inter_token_latency_seconds")
    intervals = (rows.usage_completion_tokens - 1).sum()
    # vLLM counts reads of its engine's output: two tokens that came in one are one interval.
    assert theirs.count <= intervals
    ours = (rows.end_s - rows.first_token_s).sum() / intervals
    print(f"per token {ours * 1e3:.3f} ms, vLLM's {theirs.sum / intervals * 1e3:.3f} ms")
    assert ours == pytest.approx(theirs.sum / intervals, rel=0.2)


def test_prompts_of_the_model_s_own_tokenizer_are_verified_on_the_server(vllm: Server, replay: Replay) -> None:
    folder = model.folder(TinyModel())
    done = replay.completed(vllm, "workload=sample", "concurrency=4", "max_traces=4", f"tokenizer_model={folder}")
    assert done.manifest["prompts"]["offset_tokens"] == 0
    assert "lengths verified: the server counts n + 0 for n tokens" in done.printed
    assert (done.rows.usage_prompt_tokens == done.rows.new_prompt_tokens + done.rows.cached_prompt_tokens).all()
    assert done.summary["engine"]["difference"]["prompt_tokens"] == 0  # the proof came before the clock


def test_words_that_the_tokenizer_lacks_are_refused_in_one_line(vllm: Server, replay: Replay) -> None:
    done = replay.run(vllm, "workload=sample", "concurrency=4", "max_traces=4")
    assert done.code == 1
    (refusal,) = (line for line in done.said.splitlines() if "prompt lengths" in line)
    assert "the server counts" in refusal
    assert "give the model's own with tokenizer_model=FOLDER_OR_HUB_ID" in refusal
    assert not (done.directory / "requests").exists()


def test_the_engine_is_at_rest_two_seconds_after_the_deadline(vllm: Server, replay: Replay) -> None:
    process, directory = replay.start(vllm, *_long(replay.folder), "duration=5", "html=false")
    samples = _watched(vllm, process)
    run = Finished(process.returncode, "", "", directory)
    assert (run.rows.outcome == "cancelled").all()
    deadline = run.manifest["end"]["began_monotonic_s"] + run.manifest["end"]["wall_time_s"]
    assert max(count for at, count in samples if at < deadline) == 8
    assert min(at for at, count in samples if at > deadline and count == 0) <= deadline + 2.0


def test_the_engine_is_at_rest_two_seconds_after_its_client_was_killed(vllm: Server, replay: Replay) -> None:
    process, _ = replay.start(vllm, *_long(replay.folder), "duration=60")
    assert_at_rest_after_a_kill(process, lambda: _in_flight(vllm), 8)


def _long(folder: Path) -> tuple[str, ...]:
    tokenizer = f"tokenizer_model={model.folder(TinyModel())}"
    return write(folder / "long.jsonl", LONG), "concurrency=8", tokenizer


def _in_flight(server: Server) -> float:
    """Requests that run and that wait."""
    counters = Counters.read(server)
    return counters["num_requests_running"] + counters["num_requests_waiting"]


def _watched(server: Server, process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    """Instants and requests in flight until the process has ended and the engine is at rest."""
    samples = [(time.monotonic(), _in_flight(server))]
    while process.poll() is None or samples[-1][1]:
        assert samples[-1][0] < samples[0][0] + 60.0
        time.sleep(0.05)
        samples.append((time.monotonic(), _in_flight(server)))
    process.communicate()
    return samples
