"""Traces of format v2, replayed: what they share, lose and start, against the simulator in both clocks."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.replay_state import BEGUN, WHOLE, rows_in, run_state
from helpers.scripted_server import Script, plain_response, playing
from helpers.simulator import QUICK, Serve

from trie.config import (
    Api,
    ClientConfig,
    Clock,
    ConcurrencyConfig,
    EndpointConfig,
    ProgressStyle,
    PromptConfig,
    RunConfig,
    SimConfig,
    ToolRole,
    WorkloadConfig,
)
from trie.prompts.builder import SessionPrompts
from trie.replay.run_state import RunState
from trie.replay.session import replay
from trie.run import execute_async
from trie.storage.record import Outcome
from trie.workload.load import from_traces
from trie.workload.session_tree import TreeSession, session_tree
from trie.workload.trace import Subagent, Trace

SIM = SimConfig(**QUICK, block_tokens=4)

LEAF = Trace(21, (5,), (9,), (0.0,), 6, shared_prefix_id="tools", shared_prefix_length=13)
TRACES = [
    # A reset that cuts the shared prefix, behind an answer whose reasoning does not go back.
    Trace(
        60,
        (10, 12, 8),
        (20, 30, 6),
        (0.0, 0.0, 0.01),
        5,
        shared_prefix_id="system",
        shared_prefix_length=41,
        context_reset=(None, None, 25, None),
        reasoning_length=(4, 0, 8, 0),
    ),
    # Two sub-agents at once, one of which has one of its own; then another one.
    Trace(
        50,
        (7, 9, 3),
        (11, 0, 8),
        (9.0, 0.0, 9.0),
        4,
        shared_prefix_id="system",
        shared_prefix_length=38,
        subagents=(
            Subagent(0, LEAF),
            Subagent(0, Trace(30, (5, 2), (3, 4), (9.0, 0.0), 2, subagents=(Subagent(0, replace(LEAF, row=1)),))),
            Subagent(2, LEAF),
        ),
    ),
    # Resets inside an answer, to the end of a question that a reset had changed, and to nothing.
    Trace(33, (16, 9, 20, 5), (8, 14, 10, 22), (0.0,) * 4, 3, context_reset=(None, None, 40, 47, 0)),
]


async def replayed(url: str | None, folder: Path, traces: list[Trace], **given: Any) -> pd.DataFrame:
    """The rows of a run; in virtual time without a URL."""
    sim = given.pop("sim", SIM)
    chat = {key: given.pop(key) for key in ("api", "tool_role") if key in given}
    endpoint = EndpointConfig(name="sim", ignore_eos=True) if url is None else EndpointConfig(base_url=url, **chat)
    config = RunConfig(
        WorkloadConfig(path="w.jsonl"),
        endpoint,
        ConcurrencyConfig(given.pop("concurrency", 1)),
        prompts=PromptConfig(pool_tokens=1 << 14),
        progress=ProgressStyle.none,
        sim=sim,
        clock=Clock.virtual if url is None else Clock.real,
        **{"html": False, "duration": 60.0, "max_traces": 2 * len(traces), "max_retries": 0, **given},
    )
    return (await execute_async(config, folder, workload=from_traces(traces))).rows


PLANNED = ["new_prompt_tokens", "cached_prompt_tokens", "requested_completion_tokens", "shared_prefix_tokens"]
SAME = [*PLANNED, "usage_prompt_tokens", "usage_cached_tokens", "parent_session_id", "depth", "outcome", "trace_id"]


@pytest.mark.parametrize(
    ("history", "bos"),
    [
        ("content", True),
        pytest.param("content", False, marks=pytest.mark.slow),
        pytest.param("recorded", True, marks=pytest.mark.slow),
        pytest.param("content+reasoning", False, marks=pytest.mark.slow),
    ],
)
async def test_both_clocks_send_and_find_the_same(sim: Serve, tmp_path: Path, history: str, bos: bool) -> None:
    model = replace(SIM, add_bos=bos)
    virtual = await replayed(None, tmp_path / "v", TRACES, sim=model, history=history)
    async with sim(model) as url:
        real = await replayed(url, tmp_path / "r", TRACES, sim=model, history=history)
    real, virtual = (rows.set_index(["session_id", "turn"]).sort_index()[SAME] for rows in (real, virtual))
    pd.testing.assert_frame_equal(real, virtual)
    assert (real.outcome == "ok").all()
    assert (real.usage_prompt_tokens == real.new_prompt_tokens + real.cached_prompt_tokens).all()


@pytest.mark.slow
async def test_hits_are_what_the_accounting_says_in_whole_blocks(tmp_path: Path) -> None:
    """Of what a request repeats the cache has all but the last token of an answer, which has no KV."""
    rows = await replayed(None, tmp_path / "v", TRACES, html=True)
    assert (tmp_path / "v" / "report.html").is_file()
    rows = rows.sort_values(["session_id", "turn"])
    context = (rows.new_prompt_tokens + rows.cached_prompt_tokens + rows.requested_completion_tokens).shift()
    whole = (rows.turn > 0) & (rows.cached_prompt_tokens == context)
    assert list(rows.usage_cached_tokens) == list((rows.cached_prompt_tokens - whole) // 4 * 4)


async def test_sub_agents_work_side_by_side_and_their_parent_waits_for_the_last(sim: Serve, tmp_path: Path) -> None:
    slow = replace(SIM, decode_base_s=0.02)
    async with sim(slow) as url:
        rows = await replayed(url, tmp_path / "r", [TRACES[1]], sim=slow, max_traces=1)
    assert set(rows.session_id) == {0, 1_000_000_000, 2_000_000_000, 3_000_000_000, 4_000_000_000}
    root = rows[rows.depth == 0].set_index("turn").sort_index()
    children = rows[(rows.parent_session_id == 0) & (rows.session_id <= 2_000_000_000)]
    first = children[children.turn == 0]
    assert len(first) == 2
    assert first.sent_s.max() < first.end_s.min()
    assert list(first.queued_s) == pytest.approx([root.end_s[0]] * 2, abs=0.0015), "timers may ring early"
    assert root.queued_s[1] == pytest.approx(children.end_s.max(), abs=1e-9), "and no tool latency of 9 s behind it"
    assert list(rows[rows.depth == 2].parent_session_id.unique()) == [2_000_000_000]


@pytest.mark.parametrize("clock", [pytest.param(Clock.real, marks=pytest.mark.slow), Clock.virtual])
async def test_no_more_are_in_flight_than_the_cap_allows(sim: Serve, tmp_path: Path, clock: Clock) -> None:
    slow = replace(SIM, decode_base_s=0.005)
    capped: dict[str, Any] = {"sim": slow, "concurrency": 2, "client": ClientConfig(max_in_flight=2), "max_traces": 4}
    async with sim(slow) as url:
        rows = await replayed(url if clock is Clock.real else None, tmp_path / "r", [TRACES[1]], **capped)
    assert (rows.outcome == "ok").all()
    changes = [*((at, 1) for at in rows.sent_s), *((at, -1) for at in rows.end_s)]
    in_flight = 0
    for _, change in sorted(changes):
        in_flight += change
        assert in_flight <= 2
    first = rows[rows.turn == 0].set_index("session_id").queued_s
    began = rows[(rows.depth == 0) & (rows.turn == 0)].set_index("session_id").end_s
    waited = [first[1_000_000_000 * agent + root] - began[root] for agent in (1, 2) for root in range(4)]
    assert max(waited) > 0.005, "some waited for their turn, and were due when it came"


def tree(*waits_for: Trace) -> SessionPrompts:
    """A parent of one turn, its sub-agents behind it; prompts of a word each."""

    def prompts(session: TreeSession) -> SessionPrompts:
        plans = tuple(session.trace.requests())
        subagents = {turn: tuple(map(prompts, session.after(turn))) for turn, _ in session.subagents}
        return SessionPrompts(session, plans, tuple((b" p",) for _ in plans), (), subagents)

    parent = Trace(3, (2,), (1,), (0.0,), 2, subagents=tuple(Subagent(0, child) for child in waits_for))
    return prompts(session_tree(parent, 0))


async def replayed_tree(
    answers: Callable[[int, int], Script], folder: Path, *, until: Callable[[RunState], bool] | None = None
) -> tuple[Outcome | None, RunState]:
    """A parent with two sub-agents of two requests; `answers` by the number of the sub-agent and the turn."""

    def answer(request: bytes) -> Script:
        name = request.partition(b"X-Request-Id: r-")[2].partition(b"\r\n")[0]
        session, turn = (int(part) for part in name.split(b"-"))
        return answers(session // 1_000_000_000, turn)

    child = Trace(3, (2,), (1,), (0.0,), 2)
    async with playing(answer) as (url, _), run_state(url, folder) as state:
        state.clock.start()
        task = asyncio.create_task(replay(state, tree(child, child), 0))
        async with asyncio.timeout(10):
            while until is not None and not until(state):  # noqa: ASYNC110 - counters have no event
                await asyncio.sleep(0.002)
        if until is not None:
            task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        await state.rows.close()
    return outcome if isinstance(outcome, Outcome) else None, state


async def test_a_sub_agent_that_fails_lets_its_siblings_end_and_fails_its_parent(tmp_path: Path) -> None:
    no = (plain_response("500 Internal Server Error", b'{"error": "no"}'),)
    outcome, _ = await replayed_tree(lambda agent, turn: no if (agent, turn) == (1, 0) else WHOLE, tmp_path / "r")
    assert outcome is Outcome.failed
    ended = [(row["session_id"] // 1_000_000_000, row["turn"], row["outcome"]) for row in rows_in(tmp_path / "r")]
    assert ended == [(0, 0, "ok"), (1, 0, "failed"), (2, 0, "ok"), (2, 1, "ok")]


async def test_a_cancelled_trace_cancels_all_of_its_sub_agents(tmp_path: Path) -> None:
    both_sent = lambda state: state.counters.requests_in_flight == 2 and state.counters.requests_ok == 1  # noqa: E731
    outcome, state = await replayed_tree(lambda agent, _: BEGUN if agent else WHOLE, tmp_path / "r", until=both_sent)
    assert outcome is None
    assert [(row["session_id"] // 1_000_000_000, row["outcome"]) for row in rows_in(tmp_path / "r")] == [
        (0, "ok"),
        (1, "cancelled"),
        (2, "cancelled"),
    ]
    assert state.counters.requests_in_flight == 0


@pytest.mark.slow
async def test_a_server_runs_nothing_after_the_deadline_of_traces_with_sub_agents(sim: Serve, tmp_path: Path) -> None:
    slow = replace(SIM, decode_base_s=0.01)
    child = replace(LEAF, assistant_response_length=(10_000,))
    parent = Trace(20, (1,), (1,), (0.0,), 1, subagents=(Subagent(0, child),) * 3)
    async with sim(slow) as url:
        rows = await replayed(url, tmp_path / "r", [parent], sim=slow, concurrency=2, max_traces=None, duration=0.5)
        metrics = url.replace("/v1", "/metrics")
        body = await asyncio.to_thread(lambda: urllib.request.urlopen(metrics).read().decode())
    assert list(rows[rows.depth == 1].outcome) == ["cancelled"] * 6
    assert "trie_sim:num_requests_running 0\n" in body


@pytest.mark.parametrize("role", [ToolRole.tool, pytest.param(ToolRole.user, marks=pytest.mark.slow)])
async def test_in_chat_what_a_reset_leaves_is_a_conversation_that_strict_templates_take(
    sim: Serve, tmp_path: Path, role: ToolRole
) -> None:
    """Messages under the template of the simulator, which refuses calls that nobody answers and the reverse."""
    async with sim(SIM) as url:
        rows = await replayed(url, tmp_path / "r", TRACES, api=Api.chat, tool_role=role)
    assert (rows.outcome == "ok").all()
    drift = json.loads((tmp_path / "r" / "summary.json").read_text())["drift"]
    assert drift["template_per_turn_tokens"] >= 2
    assert drift["unexplained_max_abs_tokens"] == 0, "a template adds nothing for turns that a reset took"
