"""The model with chunked prefill, worked by hand (docs/simulator.md). Binary fractions, so that equality is exact."""

from __future__ import annotations

from math import inf

import pytest

from trie.config import SimConfig
from trie.errors import ConfigError
from trie.sim.chunked import ChunkedModel
from trie.sim.jobs import Emission, Job
from trie.sim.virtual import Prompt, SessionJob, VirtualEndpoint

# A token of prefill costs 1/1024 s, a step 1/64 s and 1/1024 s for each further request, a token of context 1/65536 s.
TOKEN, BASE, EXTRA, OVERHEAD, CONTEXT = 1 / 1024, 1 / 64, 1 / 1024, 1 / 256, 1 / 65536
EMPTY = BASE - EXTRA  # a step in which nothing decodes


def config(**changed) -> SimConfig:
    numbers = {
        "scheduler": "chunked",
        "prefill_tok_s": 1024.0,
        "decode_base_s": BASE,
        "decode_per_request_s": EXTRA,
        "decode_per_context_token_s": CONTEXT,
        "request_overhead_s": OVERHEAD,
        "step_tokens": 64,
        "max_running": 8,
        "block_tokens": 4,
        "cache_blocks": 1000,
        "max_model_len": 4000,
    }
    return SimConfig(**{**numbers, **changed})


def tokens(name: str, count: int) -> list[str]:
    return [f"{name}{i}" for i in range(count)]


def times(emissions: list[Emission], job: Job) -> list[float]:
    return [emission.at for emission in emissions if emission.job is job]


def test_a_prompt_takes_as_many_steps_as_its_chunks_and_each_further_token_one_that_grows_with_the_context():
    """100 tokens at 64 a step: two steps. Then contexts of 101, 102, 103 tokens."""
    model = ChunkedModel(config())
    job = Job.of(tokens("a", 100), 4, model.config)
    model.submit(0.0, job)
    first = OVERHEAD + 2 * EMPTY + 100 * TOKEN
    steps = [BASE + context * CONTEXT for context in (101, 102, 103)]
    assert times(model.advance(inf), job) == [first, first + steps[0], first + sum(steps[:2]), first + sum(steps)]


def test_many_steps_of_one_batch_are_a_sum_in_closed_form():
    """m steps of b requests with K tokens together: m (base + (b - 1) extra) + d (K m + b m (m - 1) / 2)."""
    endpoint = VirtualEndpoint(config(step_tokens=128))
    jobs = [endpoint.ask(0.0, Prompt(name, 32), 41, fault=None) for name in "ab"]
    assert endpoint.until_end(inf) == jobs
    first = OVERHEAD + EMPTY + 64 * TOKEN
    assert [job.first_at for job in jobs] == [first, first]
    steps, context = 40, 2 * 33
    expected = steps * (BASE + EXTRA) + CONTEXT * (context * steps + 2 * steps * (steps - 1) // 2)
    assert [job.last_at - first for job in jobs] == [expected, expected]
    assert jobs[0].max_gap_s == BASE + EXTRA + (context + 2 * 39) * CONTEXT


def test_a_prompt_that_comes_in_slows_the_tokens_of_those_that_decode():
    """Early has its 1 token of each step first, late's 100 go in chunks of 63 and 37: both steps are early's too."""
    model = ChunkedModel(config())
    early, late = Job.of(tokens("a", 8), 6, model.config), Job.of(tokens("b", 100), 2, model.config)
    model.submit(0.0, early)
    start = OVERHEAD + EMPTY + 8 * TOKEN
    model.submit(start - OVERHEAD + BASE / 2, late)  # ready in the middle of early's first step of decode
    out = model.advance(inf)
    one = start + BASE + 9 * CONTEXT
    two = one + BASE + 63 * TOKEN + 10 * CONTEXT
    three = two + BASE + 37 * TOKEN + 11 * CONTEXT
    four = three + BASE + EXTRA + (12 + 101) * CONTEXT
    assert times(out, early)[:5] == [start, one, two, three, four]
    assert times(out, late) == [three, four]


def test_what_the_cache_holds_is_not_computed():
    model = ChunkedModel(config())
    first = Job.of(tokens("p", 10), 6, model.config, tokens("x", 6))
    model.submit(0.0, first)
    end = model.advance(inf)[-1].at
    second = Job.of([*tokens("p", 10), *tokens("x", 6), *tokens("t", 5)], 1, model.config)
    model.submit(end, second)
    assert model.advance(inf)[0].at == end + OVERHEAD + EMPTY + (21 - 12) * TOKEN
    assert second.cached_tokens == 12


def preempting() -> tuple[VirtualEndpoint, SessionJob, SessionJob]:
    """Memory of 12 blocks of 4; two requests of 16 tokens that ask for 20."""
    endpoint = VirtualEndpoint(config(cache_blocks=12, max_model_len=48))
    a, b = (endpoint.ask(0.0, Prompt(name, 16), 20, fault=None) for name in "ab")
    return endpoint, a, b


def test_a_request_that_finds_no_block_for_its_next_token_preempts_the_last_one():
    """Both fit with 24 tokens each, which is in the 8th step of decode: then b has to go, with 9 tokens.

    a goes on alone to its end, 11 more steps, and takes 9 blocks then. b's 6 blocks gave way but for 3: of its 25
    tokens 13 are computed again, which yields its 10th. Ten more steps, the first with a context of 26.
    """
    endpoint, a, b = preempting()
    first = OVERHEAD + EMPTY + 32 * TOKEN
    eight = first + 8 * (BASE + EXTRA) + CONTEXT * (2 * 17 * 8 + 2 * 28)
    assert endpoint.until_end(inf) == [a]
    assert endpoint.model.tally.preemptions == 1
    assert (a.first_at, b.first_at, b.generated, b.last_at) == (first, first, 9, eight)
    assert a.last_at == eight + 11 * BASE + CONTEXT * (25 * 11 + 55)
    assert endpoint.until_end(inf) == [b]
    again = a.last_at + EMPTY + 13 * TOKEN
    assert b.last_at == again + 10 * BASE + CONTEXT * (26 * 10 + 45)
    assert b.max_gap_s == again - eight
    assert (b.generated, b.cached_tokens) == (20, 0)


def test_a_prompt_waits_until_all_of_it_fits():
    """c needs 5 blocks beside a and b, whose 4 and 4 leave 4: it waits until both have gone."""
    endpoint = VirtualEndpoint(config(cache_blocks=12, max_model_len=48))
    a, b = (endpoint.ask(0.0, Prompt(name, 16), 1, fault=None) for name in "ab")
    c = endpoint.ask(0.0, Prompt("c", 20), 1, fault=None)
    first = OVERHEAD + EMPTY + 32 * TOKEN
    assert endpoint.until_end(inf) == [a, b]
    assert endpoint.until_end(inf) == [c]
    assert (a.last_at, c.last_at) == (first, first + EMPTY + 20 * TOKEN)


def test_a_preempted_request_can_be_cancelled_and_holds_nothing():
    endpoint, a, b = preempting()
    assert endpoint.until_end(inf) == [a]
    endpoint.cancel(a.last_at, b)
    assert endpoint.model.next_event_at() == inf
    assert endpoint.model.cache.pinned == 0
    assert endpoint.reply(b, a.last_at).chunks == 9


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"step_tokens": 8}, "sim.step_tokens=8: must be above 8, for a full batch"),
        ({"cache_blocks": 999}, "sim.cache_blocks=999: must be 1000 or more, for sim.max_model_len"),
        ({"scheduler": "other"}, "sim.scheduler=other: must be one of separate, chunked"),
    ],
)
def test_settings_that_could_not_serve_are_refused(changed, error):
    with pytest.raises(ConfigError, match=error):
        config(**changed)
