"""The simulator's model against its closed form; no clock is read."""

from __future__ import annotations

from math import inf

import pytest

from trie.config import SimConfig
from trie.errors import ConfigError
from trie.sim.model import Emission, Faults, Job, Model, PrefixCache, chain


def config(**given: float) -> SimConfig:
    base = {"prefill_tok_s": 1000.0, "decode_base_s": 0.010, "decode_per_request_s": 0.002, "request_overhead_s": 0.5}
    return SimConfig(**{**base, **given})  # type: ignore[arg-type]


def job(prompt: int, tokens: int) -> Job:
    return Job([], prompt, tokens)


def run(model: Model) -> list[Emission]:
    out = []
    while model.next_event_at() < inf:
        out += model.advance(model.next_event_at())
    return out


def times(emissions: list[Emission], which: Job) -> list[float]:
    return [e.at for e in emissions if e.job is which]


def test_one_request_alone() -> None:
    """Arrives at 10, 200 tokens of prompt: first token at 10 + 0.5 + 0.2, then one every 10 ms."""
    model, one = Model(config()), job(200, 4)
    model.submit(10.0, one)
    assert times(run(model), one) == pytest.approx([10.7, 10.71, 10.72, 10.73])


def test_prompts_are_prefilled_one_after_the_other() -> None:
    model, one, two = Model(config()), job(100, 1), job(300, 1)
    model.submit(0.0, one)
    model.submit(0.0, two)
    out = run(model)
    assert times(out, one) + times(out, two) == pytest.approx([0.6, 0.9])


def test_a_batch_of_two_shares_slower_steps() -> None:
    """Both are in from the second's first token on; a step of two takes 12 ms."""
    model, one, two = Model(config(prefill_tok_s=1e12)), job(1, 3), job(1, 3)
    model.submit(0.0, one)
    model.submit(0.0, two)
    out = run(model)
    assert times(out, one) == pytest.approx([0.5, 0.51, 0.522])
    assert times(out, two) == pytest.approx([0.5, 0.522, 0.532])


def test_slots_are_limited_and_the_queue_is_in_order() -> None:
    model = Model(config(max_running=1, prefill_tok_s=1e12))
    jobs = [job(1, 2) for _ in range(3)]
    for one in jobs:
        model.submit(0.0, one)
    assert model.active == 0
    out = run(model)
    firsts = [times(out, one)[0] for one in jobs]
    assert firsts == pytest.approx([0.5, 0.51, 0.52])


def test_lateness_does_not_add_up() -> None:
    exact, late = Model(config()), Model(config())
    one, other = job(50, 20), job(50, 20)
    exact.submit(0.0, one)
    late.submit(0.0, other)
    out = [emission for second in (0.555, 0.9, 5.0) for emission in late.advance(second)]
    assert times(out, other) == times(run(exact), one)


def test_a_cancelled_request_frees_its_slot() -> None:
    model, one, two = Model(config(max_running=1)), job(1, 1000), job(1, 1)
    model.submit(0.0, one)
    model.advance(0.6)
    model.submit(0.6, two)
    model.cancel(1.2, one)
    assert times(run(model), two) == pytest.approx([1.2 + 0.001])
    assert model.active == 0


def test_several_tokens_a_chunk() -> None:
    model, one = Model(config(tokens_per_chunk=4)), job(1, 7)
    model.submit(0.0, one)
    assert [emission.tokens for emission in run(model)] == [1, 4, 2]


def test_cached_tokens_from_turn_to_turn() -> None:
    """Blocks of 4: turn 0 hits nothing; turn 1 hits prompt and answer but for the last token, in whole blocks."""
    settings = config(block_tokens=4)
    model = Model(settings)
    prompt, answer, tool = [f"p{i}" for i in range(10)], [f"a{i}" for i in range(7)], [f"t{i}" for i in range(5)]
    first = Job.of(prompt, len(answer), settings, answer)
    model.submit(0.0, first)
    run(model)
    second = Job.of([*prompt, *answer, *tool], 1, settings)
    model.submit(9.0, second)
    run(model)
    assert (first.cached_tokens, second.cached_tokens) == (0, 16)  # 10 + 7 - 1 = 16 tokens have KV


def test_never_the_whole_prompt_is_cached() -> None:
    cache = PrefixCache(10, 4)
    blocks = chain(list("abcdefgh"), 4)
    cache.insert(blocks)
    assert cache.cached_tokens(blocks, 8) == 4
    assert cache.cached_tokens(blocks, 9) == 8


def test_the_least_recently_used_chain_goes_first_and_its_tail_before_its_head() -> None:
    cache = PrefixCache(3, 1)
    old, new = chain(["a", "b"], 1), chain(["x", "y"], 1)
    cache.insert(old)
    cache.insert(new)
    assert (cache.cached_tokens(old, 9), cache.cached_tokens(new, 9)) == (1, 2)


def test_faults_follow_the_seed_and_take_turns() -> None:
    settings = SimConfig(fault_rate=0.5, faults=["reset", "empty"], seed=3)
    one, two = Faults(settings), Faults(settings)
    drawn = [one.next() for _ in range(200)]
    assert drawn == [two.next() for _ in range(200)]
    struck = [fault for fault in drawn if fault]
    assert struck[:4] == ["reset", "empty", "reset", "empty"]
    assert 70 < len(struck) < 130


def test_unknown_faults_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be a list of http_429"):
        SimConfig(faults=["boom"])
