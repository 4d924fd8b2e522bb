"""What a run says against llama.cpp's server is what the server counted, and its ways show as what they are."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
from counters import Counters
from engine_setup import model
from engine_setup.llama_cpp import llama_cpp as serving
from engine_setup.model import TinyModel
from engine_setup.server import Server
from replaying import Finished, Replay, assert_at_rest_after_a_kill, somebody_else
from workloads import agentic, trace, write

pytestmark = pytest.mark.engine
DIALECT = "endpoint=llamacpp"
TRACES = 16
SHORT = [trace(200, [8, 8], [20, 20], 8)]
LONG = [trace(200, [8000], [10], 8000)]  # answers of some 10 s: none ends by itself in these tests


@pytest.fixture(scope="module")
def tokenizer() -> str:
    return f"tokenizer_model={model.folder(TinyModel())}"


@dataclass(frozen=True)
class Observed:
    """A run, and what the server counted over it."""

    run: Finished
    before: Counters
    after: Counters

    def grew(self, name: str) -> float:
        return self.after.get(f"llamacpp:{name}") - self.before.get(f"llamacpp:{name}")


@pytest.fixture(scope="module")
def agentic_run(tmp_path_factory: pytest.TempPathFactory, tokenizer: str) -> Iterator[Observed]:
    """Agentic traces at a sixteenth of their length to their end, one session for each slot."""
    folder = tmp_path_factory.mktemp("agentic")
    with serving(slots=TRACES) as server:
        before = Counters.read(server)
        run = Replay(folder).completed(
            server,
            DIALECT,
            agentic(folder / "agentic.jsonl", TRACES, latency=0.002, tokens=1 / 16),
            f"concurrency={TRACES}",
            f"max_traces={TRACES}",
            tokenizer,
            "prompts.calibrate=false",
        )
        yield Observed(run, before, Counters.read(server))


def test_agentic_traces_complete_at_their_lengths(agentic_run: Observed) -> None:
    rows, summary = agentic_run.run.rows, agentic_run.run.summary
    assert summary["traces"] == {"completed": TRACES, "failed": 0, "cancelled": 0}
    assert summary["requests"]["failed"] == 0
    assert (rows.attempts == 1).all()  # it closes each connection after its answer: no retry comes of that
    assert (rows.usage_completion_tokens == rows.requested_completion_tokens).all()
    assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()
    assert (rows.finish_reason == "length").all()


def test_the_chunk_that_brings_the_usage_is_no_token(agentic_run: Observed) -> None:
    """N tokens come in N chunks and an empty one with finish_reason and usage, or in fewer where the server lagged."""
    rows = agentic_run.run.rows
    assert (rows.chunks <= rows.usage_completion_tokens).all()
    assert (rows.chunks == rows.usage_completion_tokens).mean() > 0.9


def test_tokens_and_cache_hits_are_those_that_llama_cpp_counted(agentic_run: Observed) -> None:
    """Its prompt_tokens_total are those it computed, the cached ones beside them."""
    rows = agentic_run.run.rows
    assert agentic_run.grew("prompt_tokens_total") == (rows.usage_prompt_tokens - rows.usage_cached_tokens).sum()
    assert agentic_run.grew("prompt_tokens_cached_total") == rows.usage_cached_tokens.sum()
    assert agentic_run.grew("tokens_predicted_total") == rows.usage_completion_tokens.sum()
    told = agentic_run.run.summary["engine"]
    assert told["name"] == "llamacpp"
    assert told["comparable"]
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        assert told["counted"][name] == told["rows"][name] == rows[f"usage_{name}"].sum()
    rtt = agentic_run.run.manifest["server"]["rtt"]
    assert min(rtt["connect_min_s"], rtt["get_min_s"]) > 0  # also with a connection for each request


def test_a_session_on_its_own_slot_hits_all_but_the_last_token(agentic_run: Observed) -> None:
    """No blocks: of each prefix everything is there but the key and value of the token that was sampled last."""
    rows, summary = agentic_run.run.rows, agentic_run.run.summary
    assert (rows[rows.turn == 0].usage_cached_tokens == 0).all()
    assert (missed(rows) == 1).all()
    eligible = prefixes(rows).sum()
    assert summary["cache"]["hit_rate_pct"] == pytest.approx(
        100 * rows.usage_cached_tokens.sum() / rows.usage_prompt_tokens.sum()
    )
    assert rows.usage_cached_tokens.sum() == eligible - (rows.turn > 0).sum()


def prefixes(rows: pd.DataFrame) -> pd.Series:
    """Of each later turn: the tokens of the prompt and the answer before it."""
    ordered = rows.sort_values(["session_id", "turn"])
    sessions = ordered.groupby("session_id")
    before = sessions.usage_prompt_tokens.shift() + sessions.usage_completion_tokens.shift()
    return before[ordered.turn > 0]


def missed(rows: pd.DataFrame) -> pd.Series:
    """Of each later turn: what of its prefix was computed again."""
    found = prefixes(rows)
    return found - rows.usage_cached_tokens.reindex(found.index)


PAIR = [trace(300, [16] * 4, [20] * 4, 16, latency=0.0)]


def two_sessions(replay: Replay, server: Server, tokenizer: str) -> Finished:
    """Two sessions without tool latency, each of five turns."""
    file = write(replay.folder / "pair.jsonl", PAIR)
    return replay.completed(
        server, DIALECT, file, "concurrency=2", "max_traces=2", tokenizer, "prompts.calibrate=false"
    )


def test_more_sessions_than_slots_lose_their_caches_and_wait(
    start_llama_cpp: Any, replay: Replay, tokenizer: str
) -> None:
    """On one slot two sessions take turns: each finds the other's state in it, and waits for its end."""
    alone = two_sessions(replay, start_llama_cpp(slots=2), tokenizer)
    assert (missed(alone.rows) == 1).all()
    shared = two_sessions(replay, start_llama_cpp("--cache-ram", "0", slots=1), tokenizer)
    served = shared.rows.sort_values("first_token_s")
    assert (served.first_token_s.iloc[1:].to_numpy() > served.last_token_s.iloc[:-1].to_numpy()).all()
    replaced = served.session_id.diff().fillna(0) != 0
    assert replaced.sum() >= len(served) // 2
    assert (served[replaced].usage_cached_tokens == 0).all()
    kept = served[~replaced & (served.turn > 0)].index
    assert (missed(shared.rows)[kept] == 1).all()
    waited = served.sent_s.iloc[1:].to_numpy() < served.last_token_s.iloc[:-1].to_numpy()
    assert waited.sum() >= len(served) // 2  # sent while the one before was being answered: that is in its TTFT
    cache = shared.summary["cache"]
    assert cache["hit_rate_pct"] < cache["eligible_ceiling_pct"] - 40
    assert alone.check("prefix_cache_kept")["ok"]
    assert not shared.check("prefix_cache_kept")["ok"]


def test_copies_in_memory_bring_a_replaced_cache_back(start_llama_cpp: Any, replay: Replay, tokenizer: str) -> None:
    """--cache-ram, on as shipped, keeps what a slot held: the hit rate is that of a slot for each session."""
    done = two_sessions(replay, start_llama_cpp(slots=1), tokenizer)
    assert (missed(done.rows) == 1).all()


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize("api", ["completions", "chat"])
def test_both_routes_streamed_and_not(api: str, stream: str, llama_cpp: Server, replay: Replay, tokenizer: str) -> None:
    file = write(replay.folder / "short.jsonl", SHORT)
    settings = (f"endpoint.api={api}", f"stream={stream}", "limits.prompt_drift=1")
    done = replay.completed(llama_cpp, DIALECT, file, "concurrency=2", "max_traces=4", tokenizer, *settings)
    rows = done.rows
    assert done.summary["traces"] == {"completed": 4, "failed": 0, "cancelled": 0}
    assert (rows.usage_completion_tokens == 8).all()
    assert (rows[rows.turn > 0].usage_cached_tokens > 0).all()
    assert (rows.first_token_s.notna() == (stream == "true")).all()
    assert done.summary["drift"]["completion_short_ratio"] == 0
    if api == "completions":
        assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()


def test_the_dialect_asks_for_greedy_answers_and_for_the_cache(
    llama_cpp: Server, replay: Replay, tokenizer: str
) -> None:
    """As shipped it samples at 0.8; /slots says how the last request was to be answered."""
    file = write(replay.folder / "short.jsonl", SHORT)
    common = (file, "concurrency=1", "max_traces=1", tokenizer)

    def temperatures() -> set[float]:
        slots = llama_cpp.get_json("/slots")
        return {round(slot["params"]["temperature"], 3) for slot in slots if "params" in slot}

    done = replay.completed(llama_cpp, DIALECT, *common)
    assert temperatures() == {0.0}
    assert (missed(done.rows) == 1).all()
    assert done.manifest["config"]["endpoint"]["extra_body"] == {"temperature": 0, "cache_prompt": True}
    done = replay.completed(llama_cpp, DIALECT, *common, "endpoint.extra_body.cache_prompt=false")
    assert (done.rows.usage_cached_tokens == 0).all()
    assert done.check("cold_start")["ok"]
    replay.completed(llama_cpp, *common, "+endpoint.extra_body.temperature=0.5")
    assert 0.5 in temperatures()


def test_any_model_name_is_served_and_said(llama_cpp: Server, replay: Replay, tokenizer: str) -> None:
    file = write(replay.folder / "short.jsonl", SHORT)
    done = replay.completed(llama_cpp, DIALECT, file, "concurrency=1", "max_traces=1", "model=no-such", tokenizer)
    assert done.summary["traces"]["completed"] == 1
    assert f"model no-such is not among those that {llama_cpp.url} lists: tiny" in done.printed


def test_requests_of_others_are_waited_for_and_said(llama_cpp: Server, replay: Replay, tokenizer: str) -> None:
    file = write(replay.folder / "short.jsonl", SHORT)
    common = (DIALECT, file, "concurrency=1", "max_traces=1", tokenizer)
    with somebody_else(llama_cpp, 100_000):
        busy = replay.completed(llama_cpp, *common, "idle_timeout=1")
    assert busy.manifest["server"]["in_flight_before"] == 1
    assert "requests of others in flight: 1" in busy.printed
    assert not busy.check("engine_to_itself")["ok"]
    idle = replay.completed(llama_cpp, *common)
    assert idle.manifest["server"]["in_flight_before"] == 0
    assert idle.check("engine_to_itself")["ok"]


def in_flight(server: Server) -> float:
    """Requests in a slot and waiting for one."""
    counters = Counters.read(server)
    return counters.get("llamacpp:requests_processing") + counters.get("llamacpp:requests_deferred")


def test_the_slots_are_free_two_seconds_after_the_deadline(
    start_llama_cpp: Any, replay: Replay, tokenizer: str
) -> None:
    """Of six sessions four were being answered and two waited for a slot."""
    server = start_llama_cpp(slots=4)
    file = write(replay.folder / "long.jsonl", LONG)
    process, directory = replay.start(server, DIALECT, file, "concurrency=6", "duration=2", "html=false", tokenizer)
    samples = []
    while process.poll() is None:
        samples.append((time.monotonic(), in_flight(server)))
        time.sleep(0.05)
    process.communicate()
    run = Finished(process.returncode, "", "", directory)
    assert (run.rows.outcome == "cancelled").all()
    assert max(count for _, count in samples) == 6
    deadline = run.manifest["end"]["began_monotonic_s"] + run.manifest["end"]["wall_time_s"]
    at_rest = next((at for at, count in samples if at > deadline and count == 0), time.monotonic())
    assert at_rest <= deadline + 2.0
    assert in_flight(server) == 0
    assert not any(slot["is_processing"] for slot in server.get_json("/slots"))


def test_the_slots_are_free_two_seconds_after_the_client_was_killed(
    llama_cpp: Server, replay: Replay, tokenizer: str
) -> None:
    file = write(replay.folder / "long.jsonl", LONG)
    process, _ = replay.start(llama_cpp, DIALECT, file, "concurrency=4", "duration=60", tokenizer)
    assert_at_rest_after_a_kill(process, lambda: in_flight(llama_cpp), 4)


def test_traces_that_a_slot_can_not_hold_are_refused_before_the_run(
    start_llama_cpp: Any, replay: Replay, tokenizer: str
) -> None:
    """What a slot holds, n_ctx, is the context; what the model was trained with, n_ctx_train, says nothing here."""
    server = start_llama_cpp("--no-kv-unified", slots=2, context=2048)
    (entry,) = server.get_json("/v1/models")["data"]
    assert (entry["meta"]["n_ctx"], entry["meta"]["n_ctx_train"]) == (1024, TinyModel.max_position)
    assert server.get_json("/props")["default_generation_settings"]["n_ctx"] == 1024
    common = ("concurrency=1", "max_traces=1", tokenizer)
    done = replay.run(server, DIALECT, write(replay.folder / "deep.jsonl", [trace(900, [], [], 200)]), *common)
    assert done.code == 1
    (line,) = done.said.splitlines()
    assert "1 of 1 traces need more than the 1024 tokens of the model's context (up to 1100" in line
    assert not (done.directory / "requests").exists()
    done = replay.completed(server, DIALECT, write(replay.folder / "fits.jsonl", [trace(900, [], [], 124)]), *common)
    assert done.manifest["server"]["max_model_len"] == 1024
    assert list(done.rows.usage_completion_tokens) == [124]


def test_slots_that_share_a_context_break_off_when_it_is_full(
    start_llama_cpp: Any, replay: Replay, tokenizer: str
) -> None:
    """Each of two sessions would fit, both do not: an error event under a 200, and no 500."""
    server = start_llama_cpp("--cache-ram", "0", slots=2, context=1024)
    file = write(replay.folder / "wide.jsonl", [trace(400, [], [], 400)])
    done = replay.run(server, DIALECT, file, "concurrency=2", "max_traces=2", tokenizer, "prompts.calibrate=false")
    failed = done.rows[done.rows.outcome == "failed"]
    assert len(failed) > 0
    assert set(failed.error_kind) == {"error_event"}
    assert set(failed.http_status) == {200}
    assert failed.error.str.contains("Context size has been exceeded").all()


def test_streams_that_break_off_with_an_error_under_a_200_are_failures(
    start_llama_cpp: Any, replay: Replay, tokenizer: str
) -> None:
    """A model that says pieces of characters: the server gives up in mid-stream, after its head said 200."""
    server = start_llama_cpp(model=TinyModel(output="any"))
    file = write(replay.folder / "mid.jsonl", [trace(100, [400, 400], [20, 20], 400)])
    done = replay.run(server, DIALECT, file, "concurrency=2", "max_traces=4", tokenizer)
    failed = done.rows[done.rows.outcome == "failed"]
    assert len(failed) > 0
    assert set(failed.error_kind) == {"error_event"}
    assert set(failed.http_status) == {200}
    assert (failed.attempts == 1).all()  # tokens had come: a second attempt would measure a warm cache
    assert failed.error.str.contains("does not match the expected").all()
    last = done.rows.sort_values("turn").groupby("session_id").tail(1)
    assert set(failed.index) <= set(last.index)  # a session ends with its failure
    assert done.summary["traces"]["failed"] == len(failed)
    assert not done.check("few_failures")["ok"]
    assert f"error_event {len(failed)}" in done.check("few_failures")["found"]
    assert re.search(r"^verdict +INVALID", done.printed, re.MULTILINE)
    assert done.printed.count("request failed, error_event") == 1
    if len(failed) > 1:
        assert done.printed.count(f"failed {len(failed)} times, error_event") == 1
