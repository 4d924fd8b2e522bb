"""Routing as a run shows it: two llama.cpp servers, whose cached tokens are exact, behind TokenSpeed's gateway, smg."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from engine_setup import model
from engine_setup.llama_cpp import llama_cpp
from engine_setup.model import TinyModel
from engine_setup.server import Server, free_port
from engine_setup.vllm import reset
from replaying import Finished, Replay, somebody_else
from workloads import trace, write

pytestmark = pytest.mark.engine
TOKENSPEED = "endpoint=tokenspeed"
VLLM = ("--backend", "vllm")  # llama.cpp is taken as one too
OVERRIDE = "--routing-key-override"
TURNS = 6
SESSIONS = 3
LISTED = re.compile(r"^workers +(.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Server]]:
    """Prompts are new in each run, so that what is cached of others changes nothing."""
    with llama_cpp() as one, llama_cpp() as other:
        yield [one, other]


def sessions(replay: Replay, gateway: Server, *settings: str) -> Finished:
    """Sessions one after the other, without waits: the gateway sees one request at a time, in order."""
    file = write(replay.folder / "sessions.jsonl", [trace(300, [16] * (TURNS - 1), [20] * (TURNS - 1), 16, 0.0)])
    tokenizer = f"tokenizer_model={model.folder(TinyModel())}"
    done = replay.completed(
        gateway, file, tokenizer, "concurrency=1", f"max_traces={SESSIONS}", "html=false", *settings
    )
    assert done.summary["traces"] == {"completed": SESSIONS, "failed": 0, "cancelled": 0}
    assert (done.rows.usage_completion_tokens == 16).all()
    return done


def by_turn(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column as sessions by turns."""
    return rows.set_index(["session_id", "turn"])[column].unstack()  # noqa: PD010 - one value each


def prefix(rows: pd.DataFrame, turns: int) -> pd.DataFrame:
    """What a worker holds that served the turn so many before: all but the token that was sampled last."""
    ended = by_turn(rows, "usage_prompt_tokens") + by_turn(rows, "usage_completion_tokens") - 1
    return ended.shift(turns, axis="columns")


def test_round_robin_takes_each_turn_to_the_other_worker(workers: list[Server], start_smg: Any, replay: Replay) -> None:
    """Turn 1 finds nothing; each later one what its worker kept of the turn before the last."""
    gateway = start_smg([worker.root for worker in workers], *VLLM, policy="round_robin")
    done = sessions(replay, gateway, TOKENSPEED)
    cached, served = by_turn(done.rows, "usage_cached_tokens"), by_turn(done.rows, "worker")
    assert (cached[[0, 1]] == 0).all(axis=None)
    assert (cached.iloc[:, 2:] == prefix(done.rows, 2).iloc[:, 2:]).all(axis=None)
    assert set(done.rows.worker) == {worker.root for worker in workers}
    assert (served.iloc[:, 1:].to_numpy() != served.iloc[:, :-1].to_numpy()).all()
    found = done.summary["workers"]
    assert (found["count"], found["turns"]) == (2, SESSIONS * (TURNS - 1))
    assert found["moved_turns"] == found["turns"]
    assert found["requests"] == {worker.root: SESSIONS * TURNS // 2 for worker in workers}
    assert found["stayed_hit_rate_pct"] is None
    stay = done.check("sessions_stay")
    assert not stay["ok"]
    assert stay["found"].startswith(f"{found['turns']} of {found['turns']} turns were served by another worker")
    said = LISTED.search(done.printed)
    assert said is not None
    assert said[1].count(" 50.0 % (") == 2


def test_cache_aware_routing_keeps_a_session_where_its_prefix_is(
    workers: list[Server], start_smg: Any, replay: Replay
) -> None:
    gateway = start_smg([worker.root for worker in workers], *VLLM, policy="cache_aware")
    done = sessions(replay, gateway, TOKENSPEED)
    cached, served = by_turn(done.rows, "usage_cached_tokens"), by_turn(done.rows, "worker")
    assert (cached[0] == 0).all()
    assert (cached.iloc[:, 1:] == prefix(done.rows, 1).iloc[:, 1:]).all(axis=None)
    assert (served.iloc[:, 1:].to_numpy() == served.iloc[:, :-1].to_numpy()).all()
    found = done.summary["workers"]
    assert (found["moved_turns"], found["moved_hit_rate_pct"]) == (0, None)
    if found["count"] > 1:
        assert done.check("sessions_stay")["ok"]


KEYED = [("consistent_hashing", ()), ("manual", ()), ("prefix_hash", ()), ("round_robin", (OVERRIDE,))]


@pytest.mark.parametrize(("policy", "flags"), KEYED, ids=[policy for policy, _ in KEYED])
def test_the_session_header_keeps_sessions_on_a_worker(
    policy: str, flags: tuple[str, ...], workers: list[Server], start_smg: Any, replay: Replay
) -> None:
    """X-SMG-Routing-Key decides with some policies, and with --routing-key-override with all."""
    gateway = start_smg([worker.root for worker in workers], *VLLM, *flags, policy=policy)
    done = sessions(replay, gateway, TOKENSPEED)
    served = by_turn(done.rows, "worker")
    assert (served.iloc[:, 1:].to_numpy() == served.iloc[:, :-1].to_numpy()).all()
    assert (by_turn(done.rows, "usage_cached_tokens").iloc[:, 1:] == prefix(done.rows, 1).iloc[:, 1:]).all(axis=None)


def test_without_the_session_header_the_override_has_nothing_to_go_by(
    workers: list[Server], start_smg: Any, replay: Replay
) -> None:
    gateway = start_smg([worker.root for worker in workers], *VLLM, OVERRIDE, policy="round_robin")
    done = sessions(replay, gateway, TOKENSPEED, "endpoint.session_header=null")
    assert done.summary["workers"]["moved_turns"] == SESSIONS * (TURNS - 1)


def test_the_gateway_is_found_behind_its_address(workers: list[Server], start_smg: Any, replay: Replay) -> None:
    """With what shines through it named as such, and token ids, which it refuses, replaced by text."""
    gateway = start_smg([worker.root for worker in workers], *VLLM)
    done = sessions(replay, gateway, "endpoint.prompt_form=token_ids")
    dialect = done.manifest["server"]["dialect"]
    assert dialect["found"] == "tokenspeed"
    assert dialect["taken"]["worker_header"] == "x-smg-routed-worker-id"
    assert "header server: llama.cpp, of the engine behind it" in done.printed
    assert set(done.rows.worker) <= {worker.root for worker in workers}
    assert "text is sent: the server takes no token ids (HTTP 400" in done.printed
    assert (done.rows.usage_prompt_tokens == done.rows.new_prompt_tokens + done.rows.cached_prompt_tokens).all()


def test_requests_of_others_are_seen_through_the_gateway(workers: list[Server], start_smg: Any, replay: Replay) -> None:
    """It tells how many it has at each worker."""
    gateway = start_smg([worker.root for worker in workers], *VLLM)
    with somebody_else(gateway, 100_000), somebody_else(gateway, 100_000):
        busy = sessions(replay, gateway, TOKENSPEED, "idle_timeout=1")
    assert busy.manifest["server"]["in_flight_before"] == 2
    assert not busy.check("engine_to_itself")["ok"]
    idle = sessions(replay, gateway, TOKENSPEED)
    assert idle.manifest["server"]["in_flight_before"] == 0


def test_workers_that_have_not_registered_yet_are_waited_for(
    start_llama_cpp: Any, start_smg: Any, replay: Replay
) -> None:
    at = free_port()
    flags = ("--worker-startup-check-interval", "1")
    gateway = start_smg([f"http://127.0.0.1:{at}"], *VLLM, *flags, wait=False)
    file = write(replay.folder / "one.jsonl", [trace(100, [], [], 8)])
    tokenizer = f"tokenizer_model={model.folder(TinyModel())}"
    settings = (TOKENSPEED, file, tokenizer, "concurrency=1", "max_traces=1", "html=false")
    process, directory = replay.start(gateway, *settings, "wait_for_ready=60")
    try:
        assert process.stdout is not None
        before = next(line for line in process.stdout if "waiting for" in line)
        assert "no_models_available" in before
        start_llama_cpp(port=at)
        printed, said = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0, said + printed
    assert list(Finished(0, said, printed, directory).rows.outcome) == ["ok"]


def test_two_vllms_hit_in_blocks_of_32(one_vllm: Server, start_vllm: Any, start_smg: Any, replay: Replay) -> None:
    """620 tokens and 64 of an answer: 683 are kept, 672 of them in whole blocks, and turn 1 has a prompt of 744."""
    engines = [one_vllm, start_vllm()]
    file = write(replay.folder / "vllm.jsonl", [trace(620, [64] * 3, [60] * 3, 64)])
    common = (TOKENSPEED, file, "concurrency=1", "max_traces=2", f"tokenizer_model={model.folder(TinyModel())}")
    cached = {}
    for policy in ("round_robin", "cache_aware"):
        for engine in engines:
            reset(engine)
        gateway = start_smg([engine.root for engine in engines], *VLLM, policy=policy)
        done = replay.completed(gateway, *common)
        assert list(by_turn(done.rows, "usage_prompt_tokens").iloc[0]) == [620, 744, 868, 992]
        cached[policy] = by_turn(done.rows, "usage_cached_tokens").to_numpy().tolist()
        moved = done.summary["workers"]["moved_turns"]
        assert moved == (6 if policy == "round_robin" else 0)
    assert cached == {"round_robin": [[0, 0, 672, 800]] * 2, "cache_aware": [[0, 672, 800, 928]] * 2}
