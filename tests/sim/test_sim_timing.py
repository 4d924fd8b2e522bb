"""The model against its closed form (docs/simulator.md). Numbers are binary fractions where equality is exact."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trie.config import FAULTS, SimConfig
from trie.sim.faults import Faults
from trie.sim.jobs import Emission, Job
from trie.sim.prefix_cache import PrefixCache, chain
from trie.sim.timing import Model

# 1,024 tok/s of prefill: a token costs 1/1024 s. A step costs 1/64 s and 1/1024 s for each further request.
TOKEN, BASE, EXTRA, OVERHEAD = 1 / 1024, 1 / 64, 1 / 1024, 1 / 256


def config(**changed) -> SimConfig:
    numbers = {
        "prefill_tok_s": 1024.0,
        "decode_base_s": BASE,
        "decode_per_request_s": EXTRA,
        "request_overhead_s": OVERHEAD,
        "block_tokens": 4,
    }
    return SimConfig(**{**numbers, **changed})


def tokens(name: str, count: int) -> list[str]:
    return [f"{name}{i}" for i in range(count)]


def times(emissions: list[Emission], job: Job) -> list[float]:
    return [emission.at for emission in emissions if emission.job is job]


def served(model: Model, job: Job, at: float) -> float:
    """Run one job alone to its end; the time it ended."""
    model.submit(at, job)
    return model.advance(inf)[-1].at


def test_alone_the_first_token_leaves_after_overhead_and_prefill_and_each_further_one_a_step_later():
    model = Model(config())
    job = Job.of(tokens("a", 64), 5, model.config)
    model.submit(2.0, job)
    first = 2.0 + OVERHEAD + 64 * TOKEN
    out = model.advance(inf)
    assert times(out, job) == [first + i * BASE for i in range(5)]
    assert [e.finished for e in out] == [False] * 4 + [True]
    assert model.active == 0
    assert model.next_event_at() == inf


def test_prompts_that_arrive_together_are_prefilled_one_after_another_in_order():
    model = Model(config())
    jobs = [Job.of(tokens(name, 64), 1, model.config) for name in "abc"]
    for job in jobs:
        model.submit(0.0, job)
    assert [e.at for e in model.advance(inf)] == [OVERHEAD + n * 64 * TOKEN for n in (1, 2, 3)]


def test_times_are_summed_as_engines_histograms_do():
    """Two prompts of 64 tokens at 0: the second waits for the first's prefill. One answer of 3 tokens, one of 1."""
    model = Model(config())
    for name, length in (("a", 3), ("b", 1)):
        model.submit(0.0, Job.of(tokens(name, 64), length, model.config))
    model.advance(inf)
    first, second = OVERHEAD + 64 * TOKEN, OVERHEAD + 128 * TOKEN
    assert {name: (span.seconds, span.count) for name, span in model.tally.spans.items()} == {
        "queue_time": (OVERHEAD + first, 2),
        "time_to_first_token": (first + second, 2),
        "inter_token_latency": (2 * BASE, 2),
        "e2e_request_latency": (first + 2 * BASE + second, 2),
    }


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_batch_of_n_has_steps_of_base_plus_n_minus_1_times_extra(batch):
    model = Model(config(prefill_tok_s=2.0**40))
    jobs = [Job.of(tokens(f"{n}-", 4), 50, model.config) for n in range(batch)]
    for job in jobs:
        model.submit(0.0, job)
    out = model.advance(inf)
    for job in jobs:
        at = times(out, job)
        gaps = [later - earlier for earlier, later in pairwise(at[2:-1])]  # while all are in the batch
        assert gaps == pytest.approx([BASE + (batch - 1) * EXTRA] * len(gaps), abs=1e-12)


def test_a_request_joins_the_batch_at_the_next_steps_start_and_prefill_slows_no_step():
    model = Model(config(request_overhead_s=0.0))
    early, late = Job.of(tokens("a", 4), 6, model.config), Job.of(tokens("b", 4), 3, model.config)
    model.submit(0.0, early)
    start = 4 * TOKEN  # first token of early: steps end at start + k * BASE
    model.submit(start + BASE / 2, late)
    out = model.advance(inf)
    first = start + BASE / 2 + 4 * TOKEN
    joined = start + BASE  # the step in which late's prefill ended ends
    both = BASE + EXTRA
    assert times(out, late) == [first, joined + both, joined + 2 * both]
    assert times(out, early)[:5] == [start, joined, joined + both, joined + 2 * both, joined + 2 * both + BASE]


def test_beyond_max_running_a_request_waits_for_a_slot():
    model = Model(config(max_running=1))
    one, two = Job.of(tokens("a", 64), 3, model.config), Job.of(tokens("b", 32), 1, model.config)
    model.submit(0.0, one)
    model.submit(0.0, two)
    out = model.advance(inf)
    assert times(out, two) == [times(out, one)[-1] + 32 * TOKEN]


def test_chunks_of_several_tokens_leave_once_a_step_and_the_last_takes_the_rest():
    model = Model(config(tokens_per_chunk=3))
    job = Job.of(tokens("a", 64), 6, model.config)
    model.submit(0.0, job)
    first = OVERHEAD + 64 * TOKEN
    assert [(e.at, e.tokens) for e in model.advance(inf)] == [(first, 1), (first + BASE, 3), (first + 2 * BASE, 2)]


def test_cached_tokens_grow_turn_by_turn_and_cost_no_prefill():
    model = Model(config())
    turn_0 = tokens("p", 10)
    answer = tokens("x", 6)
    first = Job.of(turn_0, 6, model.config, answer)
    end = served(model, first, 0.0)
    assert first.cached_tokens == 0
    # KV exists for 10 + 5 tokens: three whole blocks of four.
    turn_1 = [*turn_0, *answer, *tokens("t", 5)]
    second = Job.of(turn_1, 2, model.config, tokens("y", 2))
    model.submit(end, second)
    assert model.advance(inf)[0].at == end + OVERHEAD + (21 - 12) * TOKEN
    assert second.cached_tokens == 12
    # 21 + 1 tokens: five whole blocks.
    third = Job.of([*turn_1, *tokens("y", 2), "u"], 1, model.config)
    served(model, third, 9.0)
    assert third.cached_tokens == 20
    assert (model.tally.queries_tokens, model.tally.hit_tokens) == (10 + 21 + 24, 12 + 20)


def test_at_least_one_token_of_a_prompt_is_computed():
    model = Model(config())
    for expected in (0, 4):  # two whole blocks, of which the last must give way
        job = Job.of(tokens("p", 8), 1, model.config)
        served(model, job, 0.0)
        assert job.cached_tokens == expected


def test_the_least_recently_used_chain_is_evicted_first_and_from_its_end():
    cache = PrefixCache(capacity=5, block_tokens=4)
    a, b = chain(tokens("a", 12), 4), chain(tokens("b", 8), 4)
    cache.insert(a)
    cache.insert(b)
    assert len(cache) == 5
    cache.insert(a)  # used again: b is now the oldest
    c = chain(tokens("c", 4), 4)
    cache.insert(c)
    assert [cache.cached_tokens(x, 100) for x in (a, b, c)] == [12, 4, 4]
    cache.insert(chain(tokens("d", 8), 4))
    assert [cache.cached_tokens(x, 100) for x in (a, b, c)] == [8, 0, 4]


def test_a_chain_longer_than_the_cache_leaves_its_head():
    cache = PrefixCache(capacity=2, block_tokens=4)
    long = chain(tokens("a", 40), 4)
    cache.insert(long)
    assert cache.cached_tokens(long, 40) == 8


def test_without_a_cache_nothing_is_ever_cached():
    model = Model(config(cache_blocks=0))
    for _ in range(2):
        job = Job.of(tokens("p", 40), 3, model.config, tokens("x", 3))
        served(model, job, 0.0)
        assert job.cached_tokens == 0
    assert len(model.cache) == 0


def test_blocks_are_told_apart_by_everything_before_them():
    same_end = [chain([head, *tokens("s", 7)], 4) for head in ("a", "b")]
    assert same_end[0][1] != same_end[1][1]
    assert chain(tokens("s", 12), 4) == chain(tokens("s", 12)[4:], 4, chain(tokens("s", 4), 4))


def test_a_cancelled_request_frees_its_slot_at_that_instant_and_keeps_what_it_computed():
    model = Model(config(max_running=1))
    gone = Job.of(tokens("a", 8), 100, model.config, tokens("x", 100))
    waits = Job.of(tokens("b", 32), 1, model.config)
    model.submit(0.0, gone)
    model.submit(0.0, waits)
    model.advance(1.0)
    made = gone.generated
    assert 1 < made < 100
    model.cancel(1.0, gone)
    assert [(e.at, e.job) for e in model.advance(inf)] == [(1.0 + 32 * TOKEN, waits)]
    again = Job.of([*tokens("a", 8), *tokens("x", 100)], 1, model.config)
    served(model, again, 2.0)
    assert again.cached_tokens == (8 + made - 1) // 4 * 4


def test_a_request_cancelled_in_the_queue_or_in_prefill_leaves_no_trace():
    model = Model(config())
    prefilling, queued, other = (Job.of(tokens(name, 64), 1, model.config) for name in "abc")
    for job in (prefilling, queued, other):
        model.submit(0.0, job)
    model.advance(OVERHEAD)
    model.cancel(OVERHEAD, queued)
    model.cancel(2 * OVERHEAD, prefilling)
    model.cancel(3 * OVERHEAD, prefilling)  # twice is as good as once
    assert [(e.at, e.job) for e in model.advance(inf)] == [(2 * OVERHEAD + 64 * TOKEN, other)]


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 60), st.integers(1, 12)), min_size=1, max_size=12
).map(sorted)


def replay(arrivals: list[tuple[int, int, int]], slots: int, ticks: list[float]) -> list[tuple[float, int, int]]:
    """Submit at each arrival's time and advance at `ticks` in between; what left, when, of which job."""
    model = Model(config(max_running=slots))
    jobs: list[Job] = []
    out: list[Emission] = []
    for due in sorted([*ticks, *(at / 256 for at, _, _ in arrivals)]):
        while len(jobs) < len(arrivals) and arrivals[len(jobs)][0] / 256 <= due:
            at, prompt, answer = arrivals[len(jobs)]
            jobs.append(Job.of(tokens(f"{len(jobs)}-", prompt), answer, model.config))
            model.submit(at / 256, jobs[-1])
        if due in ticks:
            out += model.advance(due)
    out += model.advance(inf)
    return [(e.at, jobs.index(e.job), e.tokens) for e in out]


@settings(deadline=None, max_examples=60)
@given(ARRIVALS, st.integers(1, 4), st.lists(st.floats(0, 3), max_size=20))
def test_how_late_the_model_is_advanced_changes_no_instant(arrivals, slots, ticks):
    punctual = replay(arrivals, slots, [n / 512 for n in range(1200)])
    late = replay(arrivals, slots, ticks)
    assert late == punctual
    assert sum(count for _, _, count in late) == sum(answer for _, _, answer in arrivals)
    assert [at for at, _, _ in late] == sorted(at for at, _, _ in late)


def test_a_limit_on_events_only_splits_the_output():
    model, same = Model(config()), Model(config())
    for each in (model, same):
        for name in "abc":
            each.submit(0.0, Job.of(tokens(name, 16), 5, each.config))
    pieces: list[Emission] = []
    while model.next_event_at() < inf:
        pieces += model.advance(100.0, limit=1)
    assert [(e.at, e.tokens) for e in pieces] == [(e.at, e.tokens) for e in same.advance(inf)]


def test_faults_come_in_turn_at_the_set_rate_and_by_the_seed_alone():
    faulty = config(fault_rate=0.25, faults=["reset", "empty"], seed=7)
    first, second = (Faults(faulty) for _ in range(2))
    drawn = [first.next() for _ in range(4000)]
    assert drawn == [second.next() for _ in range(4000)]
    kinds = [fault for fault in drawn if fault]
    assert kinds == (["reset", "empty"] * len(kinds))[: len(kinds)]
    assert 0.22 < len(kinds) / 4000 < 0.28
    assert not any(Faults(config(faults=list(FAULTS))).next() for _ in range(100))
