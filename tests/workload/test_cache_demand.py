"""The hit rate to expect of a cache: by hand on a few requests, and against the simulator in virtual time."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from trie.config import ConcurrencyConfig, EndpointConfig, RunConfig, SimConfig, WorkloadConfig
from trie.replay.virtual import VirtualReplay
from trie.storage.record import RequestRecord
from trie.workload import synthetic
from trie.workload.cache_demand import Demand, demand, ideal_hit_rate, knee_concurrency, replay_once
from trie.workload.closed_loop import Pace
from trie.workload.load import load
from trie.workload.trace import Subagent, Trace

# A token of a prompt costs 1/1024 s, one of an answer 1/64 s.
PACE = Pace(1024.0, 1 / 64)
TWO = [Trace(100, (10,), (20,), (8.0,), 5, row=0), Trace(200, (10,), (30,), (8.0,), 5, row=1)]


def test_alone_a_session_finds_what_fits_of_its_own_text() -> None:
    # Second prompts of 130 and 240 tokens; 109 and 209 of them were computed before, the last token of each answer was
    # not. Nothing else is used in between.
    rates = [replay_once(TWO, 1, PACE, size).hit_rate for size in (0, 50, 109, 150, 209, inf)]
    total = 100 + 130 + 200 + 240
    assert rates == [0.0, 100 / total, 218 / total, 259 / total, 318 / total, 318 / total]


def test_of_two_sessions_each_finds_what_the_other_leaves() -> None:
    # The first comes back behind the 209 tokens of the second, the second behind the 134 that the first has left.
    total = 100 + 130 + 200 + 240
    assert replay_once(TWO, 2, PACE, 210).hit_rate == (1 + 76) / total
    assert replay_once(TWO, 2, PACE, 320).hit_rate == (109 + 186) / total
    assert replay_once(TWO, 2, PACE, 343).hit_rate == (109 + 209) / total


def test_only_whole_blocks_are_found() -> None:
    # 109 // 16 and 209 // 16 blocks.
    total = 100 + 130 + 200 + 240
    assert replay_once(TWO, 1, PACE._replace(block_tokens=16)).hit_rate == 16 * (6 + 13) / total


def test_what_the_active_traces_hold_is_weighted_by_its_time() -> None:
    """One trace: 100 tokens for 9 steps of an answer, 110 for 8 s of a tool and a prefill, 130 for 4 steps."""
    whole = replay_once(TWO[:1], 1, PACE)
    assert whole.duration_s == pytest.approx(100 / 1024 + 9 / 64 + 8 + 21 / 1024 + 4 / 64)
    weighted = 100 * 9 / 64 + 110 * (8 + 21 / 1024) + 130 * 4 / 64
    assert whole.held.mean == pytest.approx(weighted / (whole.duration_s - 100 / 1024))
    assert (whole.held.p95, whole.held.max) == (110.0, 130.0)


def test_steps_take_longer_with_more_answers_and_latecomers_join_the_next_one() -> None:
    """A step takes 1 s alone and 2 s for two; the second answer comes 1/8 s into a step and is there from 1 s on."""
    pace = Pace(8.0, 1.0, 1.0)
    first, second = Trace(1, (), (), (), 4, row=0), Trace(1, (), (), (), 3, row=1)
    whole = replay_once([first, second], 2, pace)
    start = 1 / 8
    assert whole.ends_s.tolist() == [start + 1 + 2 + 2, start + 1 + 2 + 2]


def test_a_deadline_cuts_off_what_has_not_ended() -> None:
    whole = replay_once(TWO, 1, PACE)
    assert [whole.cut_off(deadline_s) for deadline_s in (1.0, 9.0, 100.0)] == [1.0, 0.5, 0.0]


def test_a_run_ends_at_its_deadline() -> None:
    """The first trace ends after 8.3 s; at 9 s the second has had its first answer and waits for its tool."""
    whole = replay_once(TWO, 1, PACE, until_s=9.0)
    assert (whole.duration_s, whole.starts_s.size, whole.ends_s[1]) == (9.0, 2, inf)
    assert whole.hit_rate == 109 / (100 + 130 + 200)


def test_the_knee_lies_between_the_sizes_that_were_tried() -> None:
    found = demand(TWO, 1, PACE)
    sizes = [size for size, _ in found.curve]
    rates = [rate for _, rate in found.curve]
    assert rates == sorted(rates)
    assert rates[-1] == found.whole.hit_rate
    assert sizes[0] < found.knee_tokens < sizes[-1]
    assert isinstance(found, Demand)


def test_the_knee_of_the_concurrency_is_the_last_that_fits() -> None:
    traces = synthetic.draw("agentic", 512, 3)
    pace = Pace(30_000.0, 0.012, 0.0004)
    knee = knee_concurrency(traces, 300_000, pace, 600.0)
    assert 2 <= knee < 64
    assert knee_concurrency(traces, 1, pace, 600.0) == 0
    assert knee_concurrency(traces[:5], 300_000, pace, 600.0) > 1, "a short file is begun again at its end"
    assert knee_concurrency(traces, 600_000, pace, 600.0) > knee


def simulated(traces: list[Trace], concurrency: int, sim: SimConfig) -> float:
    """The hit rate of the embedded endpoint in virtual time."""
    rows: list[RequestRecord] = []
    config = RunConfig(
        workload=WorkloadConfig(path="traces"),
        endpoint=EndpointConfig(name="sim", ignore_eos=True),
        concurrency=ConcurrencyConfig(concurrency),
        sim=sim,
        duration=10.0**6,
        max_traces=len(traces),
    )
    VirtualReplay(config, traces, write=rows.extend).run()
    answered = [row for row in rows if row.usage_prompt_tokens is not None]
    return sum(row.usage_cached_tokens or 0 for row in answered) / sum(row.usage_prompt_tokens or 0 for row in answered)


@pytest.mark.parametrize(
    ("concurrency", "cache_tokens"), [(16, 150_000), (16, 300_000), (16, 800_000), (48, 300_000), (48, 1_200_000)]
)
@pytest.mark.parametrize("prefill_tok_s", [30_000.0, 100_000.0])
def test_the_simulator_agrees_within_two_points(concurrency: int, cache_tokens: int, prefill_tok_s: float) -> None:
    """The same loop by another way: blocks that are held and let go, instead of distances."""
    traces = synthetic.draw("agentic", 250, 11)
    sim = SimConfig(
        prefill_tok_s=prefill_tok_s,
        decode_base_s=0.012,
        decode_per_request_s=0.0004,
        max_running=256,
        cache_blocks=cache_tokens // 16,
    )
    pace = Pace(sim.prefill_tok_s, sim.decode_base_s, sim.decode_per_request_s, sim.request_overhead_s, 16)
    expected = replay_once(traces, concurrency, pace, cache_tokens).hit_rate
    assert expected == pytest.approx(simulated(traces, concurrency, sim), abs=0.02)


def test_a_shared_prefix_is_found_by_the_second_trace() -> None:
    """Prompts of 100 and 200 tokens that begin with the same 64; second turns as above; the prefix is held once."""
    shared = [replace(trace, shared_prefix_id="a", shared_prefix_length=64) for trace in TWO]
    total = 100 + 130 + 200 + 240
    assert replay_once(shared, 1, PACE).hit_rate == (64 + 109 + 209) / total
    assert ideal_hit_rate(shared) == (64 + 110 + 210) / total
    apart, together = (replay_once(traces, 2, PACE).held.max for traces in (TWO, shared))
    assert apart - together == 64


def test_sub_agents_work_side_by_side_and_their_parent_waits_for_the_last() -> None:
    """An answer token costs 1/64 s for each of two, a prompt token 1/1024 s, one prompt after the other."""
    child = Trace(64, (), (), (), 2)
    parent = Trace(64, (1,), (64,), (99.0,), 1, subagents=(Subagent(0, child), Subagent(0, child)))
    whole = replay_once([parent], 1, PACE)
    # The parent's 64 tokens, both children's, one token of the last one's answer, 64 new ones behind 64 that are held.
    assert whole.duration_s == pytest.approx(3 * 64 / 1024 + 1 / 64 + (64 + 1) / 1024)
    assert whole.hit_rate == 64 / (64 * 3 + 129)


def test_what_a_reset_and_reasoning_lose_is_not_found() -> None:
    """60 tokens survive of 110; of the next answer 30 tokens are reasoning, so that the rest is computed anew."""
    trace = Trace(100, (10, 40), (20, 5), (0.0, 0.0), 5, context_reset=(None, 60, None), reasoning_length=(0, 30, 0))
    whole = replay_once([trace], 1, PACE)
    assert whole.hit_rate == (60 + 80) / (100 + 80 + 95)
    assert ideal_hit_rate([trace]) == whole.hit_rate


def tree_workload() -> list[Trace]:
    """Agentic traces in three groups with a prefix each; every fourth has sub-agents, every fifth a reset."""
    config = WorkloadConfig(synthetic="agentic", rows=120, seed=5, shared_prefix_tokens=1500, shared_prefix_groups=3)
    traces: list[Trace] = list(load(config).traces)
    for place, trace in enumerate(traces):
        turns = trace.num_turns
        if turns > 2 and place % 4 == 0:
            child = replace(traces[place - 1], row=trace.row)
            traces[place] = replace(trace, subagents=(Subagent(turns // 2, child), Subagent(turns // 2, child)))
        elif turns > 2 and place % 5 == 0:
            resets = [None] * (turns + 1)
            resets[turns // 2] = 900
            traces[place] = replace(trace, context_reset=tuple(resets), reasoning_length=(1,) * (turns + 1))
    return traces


def test_a_cache_of_any_size_gives_the_simulator_the_ideal_rate_but_for_its_blocks() -> None:
    """Shared prefixes, resets, reasoning and sub-agents: what is counted, what is on paper, and what is simulated."""
    traces = tree_workload()
    sim = SimConfig(prefill_tok_s=100_000.0, cache_blocks=10**7, block_tokens=1, max_running=256)
    pace = Pace(sim.prefill_tok_s, sim.decode_base_s, sim.decode_per_request_s, sim.request_overhead_s, 1)
    measured, on_paper = simulated(traces, 8, sim), replay_once(traces, 8, pace).hit_rate
    assert on_paper == pytest.approx(measured, abs=1e-4)
    assert ideal_hit_rate(traces) == pytest.approx(measured, abs=1e-3), "the last token of an answer has no KV"
    alone = [replace(trace, shared_prefix_id=None, shared_prefix_length=0) for trace in traces]
    gain = ideal_hit_rate(traces) - ideal_hit_rate(alone)
    assert measured - simulated(alone, 8, sim) == pytest.approx(gain, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("cache_tokens", [150_000, 400_000])
def test_a_small_cache_agrees_within_two_points_with_shared_prefixes_and_sub_agents(cache_tokens: int) -> None:
    traces = tree_workload()
    sim = SimConfig(prefill_tok_s=100_000.0, cache_blocks=cache_tokens // 16, max_running=256)
    pace = Pace(sim.prefill_tok_s, sim.decode_base_s, sim.decode_per_request_s, sim.request_overhead_s, 16)
    expected = replay_once(traces, 16, pace, cache_tokens).hit_rate
    assert expected == pytest.approx(simulated(traces, 16, sim), abs=0.02)
