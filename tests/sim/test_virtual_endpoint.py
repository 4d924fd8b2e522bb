"""Virtual time against real time: one model, two ways through it, the same instants."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trie.config import SimConfig
from trie.sim.chunked import ChunkedModel
from trie.sim.jobs import Job
from trie.sim.prefix_cache import PrefixCache, SessionCache, chain
from trie.sim.timing import Model
from trie.sim.virtual import Prompt, SessionJob, VirtualEndpoint

NUMBERS = {
    "prefill_tok_s": 1000.0,
    "decode_base_s": 0.011,
    "decode_per_request_s": 0.0013,
    "request_overhead_s": 0.003,
    "block_tokens": 4,
}

# A session: when its first turn arrives, and for each turn new prompt tokens, answer tokens and the wait behind it.
TURN = st.tuples(st.integers(1, 40), st.integers(1, 30), st.integers(0, 50))
SESSIONS = st.lists(st.tuples(st.integers(0, 300), st.lists(TURN, min_size=1, max_size=4)), min_size=1, max_size=8)


class Texts:
    """Jobs as the server in real time has them: by their tokens."""

    def __init__(self, config: SimConfig) -> None:
        self.config = config
        self.texts: dict[int, list[str]] = {}

    def job(self, session: int, turn: int, new: int, answer: int) -> Job:
        text = [*self.texts.get(session, []), *(f"{session}.{turn}.{i}" for i in range(new))]
        words = [f"{session}.{turn}a{i}" for i in range(answer)]
        self.texts[session] = text + words
        return Job.of(text, answer, self.config, words)


class Lengths:
    """The same by their lengths alone."""

    def __init__(self, config: SimConfig) -> None:
        self.lengths: dict[int, int] = {}
        self.config = config

    def job(self, session: int, turn: int, new: int, answer: int) -> Job:
        tokens = self.lengths.get(session, 0) + new
        self.lengths[session] = tokens + answer
        prompt = Prompt(session, tokens)
        blocks = prompt.blocks(tokens, self.config.block_tokens)
        return SessionJob(blocks, tokens, answer, prompt=prompt, fault=None, finish="length")


def replay(model: Model, source: Texts | Lengths, sessions, cancel_at: dict[int, float]) -> list[tuple]:
    """Each session's turns one after another; sessions with a `cancel_at` leave at that instant."""
    due = [(at / 100, number, 0) for number, (at, _) in enumerate(sessions)]
    open_jobs: dict[Job, tuple[int, int]] = {}
    ended: list[tuple] = []
    left = dict(cancel_at)
    while due or open_jobs or left:
        at = min([item[0] for item in due] + list(left.values()) + [model.next_event_at()])
        finished = [event.job for event in model.advance(at) if event.finished]
        for job in finished:
            session, turn = open_jobs.pop(job)
            ended.append((session, turn, job.first_at, job.last_at, job.cached_tokens, job.generated))
            if turn + 1 < len(sessions[session][1]):
                due.append((job.last_at + sessions[session][1][turn][2] / 100, session, turn + 1))
        for session in [session for session, when in left.items() if when <= at]:
            del left[session]
            due = [item for item in due if item[1] != session]
            for job in [job for job, (owner, _) in open_jobs.items() if owner == session]:
                model.cancel(at, job)
                _, turn = open_jobs.pop(job)
                ended.append((session, turn, job.first_at, at, job.cached_tokens, job.generated))
        for item in sorted(item for item in due if item[0] <= at):
            due.remove(item)
            when, session, turn = item
            new, answer, _ = sessions[session][1][turn]
            job = source.job(session, turn, new, answer)
            model.submit(when, job)
            open_jobs[job] = (session, turn)
    return ended


@settings(deadline=None, max_examples=150)
@given(
    SESSIONS,
    st.integers(1, 4),
    st.integers(0, 30),
    st.integers(1, 3),
    st.dictionaries(st.integers(0, 7), st.integers(0, 400), max_size=3),
)
def test_both_ways_through_the_model_give_the_same_instants(sessions, slots, blocks, per_chunk, leave):
    config = SimConfig(**NUMBERS, max_running=slots, cache_blocks=blocks, tokens_per_chunk=per_chunk)
    cancel_at = {session: at / 97 for session, at in leave.items() if session < len(sessions)}
    real = replay(Model(config), Texts(config), sessions, cancel_at)
    cache = SessionCache(config.cache_blocks, config.block_tokens)
    virtual = replay(Model(config, cache, every_step=False), Lengths(config), sessions, cancel_at)
    assert virtual == real


CHUNKED = {
    **NUMBERS,
    "scheduler": "chunked",
    "decode_per_context_token_s": 0.00001,
    "max_model_len": 280,
}


# Sessions that come close together, so that their contexts grow at the same time.
CROWD = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(SESSIONS, CROWD),
    st.integers(1, 6),
    st.integers(71, 100),  # of at most 280 tokens in 70 blocks: memory is scarce
    st.integers(1, 3),
    st.integers(19, 60),
    st.dictionaries(st.integers(0, 7), st.integers(0, 400), max_size=3),
)
def test_so_do_they_with_chunks_of_prompts_and_scarce_memory(sessions, slots, blocks, per_chunk, step_tokens, leave):  # noqa: PLR0917
    config = SimConfig(
        **CHUNKED, max_running=slots, cache_blocks=blocks, tokens_per_chunk=per_chunk, step_tokens=step_tokens
    )
    cancel_at = {session: at / 97 for session, at in leave.items() if session < len(sessions)}
    real = replay(ChunkedModel(config), Texts(config), sessions, cancel_at)
    cache = SessionCache(config.cache_blocks, config.block_tokens)
    virtual = replay(ChunkedModel(config, cache, every_step=False), Lengths(config), sessions, cancel_at)
    assert virtual == real


@settings(deadline=None, max_examples=100)
@given(SESSIONS, st.integers(1, 4), st.integers(1, 3))
def test_the_longest_gap_is_that_between_the_chunks_that_left(sessions, slots, per_chunk):
    config = SimConfig(**NUMBERS, max_running=slots, tokens_per_chunk=per_chunk)
    stepwise, jumping = Model(config), Model(config, every_step=False)
    chunks: dict[Job, list[float]] = {}
    pairs = []
    for number, (at, turns) in enumerate(sorted(sessions, key=lambda item: item[0])):
        jobs = [Job.of([f"{number}.{i}" for i in range(turns[0][0])], turns[0][1], config) for _ in range(2)]
        pairs.append(jobs)
        stepwise.submit(at / 100, jobs[0])
        jumping.submit(at / 100, jobs[1])
    for event in stepwise.advance(inf):
        chunks.setdefault(event.job, []).append(event.at)
    jumping.advance(inf)
    for job, twin in pairs:
        gaps = [later - earlier for earlier, later in zip(chunks[job], chunks[job][1:], strict=False)]
        assert twin.max_gap_s == pytest.approx(max(gaps, default=0.0), abs=1e-12)
        assert (twin.first_at, twin.last_at) == (chunks[job][0], chunks[job][-1])


# A text of one of three sessions, behind a shared prefix of 8 tokens or without it; what is done with it: inserted,
# pinned, or the first pin is taken off.
USES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 24), st.booleans(), st.sampled_from(["insert", "pin", "unpin"])),
    max_size=40,
)


@given(USES, st.integers(0, 14))
def test_stretches_hold_what_single_blocks_would(uses, capacity):
    """Texts in any lengths: growing, shrinking, pinned, evicted."""
    block = 4
    by_tokens, by_length = PrefixCache(capacity, block), SessionCache(capacity, block)
    pins = []
    for name, length, behind, action in uses:
        text = [*(["s"] * 8 if behind else []), *(f"{name}{behind}{i}" for i in range(length))]
        prompt = Prompt((name, behind), len(text), (("s", 8),) if behind else ())
        tokens, spans = chain(text, block), prompt.blocks(len(text), block)
        assert by_length.cached_tokens(spans, len(text)) == by_tokens.cached_tokens(tokens, len(text))
        if action == "pin":
            pins.append((tokens, spans))
        elif action == "unpin":
            if not pins:
                continue
            tokens, spans = pins.pop(0)
        getattr(by_tokens, action)(tokens)
        getattr(by_length, action)(spans)
        assert len(by_length) == len(by_tokens)


def served(endpoint: VirtualEndpoint, at: float, prompt: Prompt, tokens: int, fault: str | None = None) -> SessionJob:
    job = endpoint.ask(at, prompt, tokens, fault=fault)
    assert endpoint.until_end(inf) == [job]
    return job


BINARY = SimConfig(
    prefill_tok_s=1024.0,
    decode_base_s=1 / 64,
    decode_per_request_s=1 / 1024,
    request_overhead_s=1 / 256,
    block_tokens=4,
)


def test_a_reply_has_the_instants_of_the_closed_form():
    """64 tokens of prompt, 5 of answer, alone at 2: 1/256 + 64/1024 to the first token, four steps of 1/64 after it."""
    endpoint = VirtualEndpoint(BINARY)
    reply = endpoint.reply(served(endpoint, 2.0, Prompt("a", 64), 5))
    first = 2.0 + 1 / 256 + 1 / 16
    assert (reply.first_s, reply.last_s, reply.end_s) == (first, first + 1 / 16, first + 1 / 16)
    assert (reply.chunks, reply.max_gap_s, reply.finish) == (5, 1 / 64, "length")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (64, 5, 0)


def test_the_next_turn_finds_prompt_and_answer_but_not_the_last_token_and_a_recited_one_the_prompt_alone():
    """10 + 6 tokens: KV of 15, three blocks of four; of the prompt alone two."""
    for recited, cached in ((False, 12), (True, 8)):
        endpoint = VirtualEndpoint(BINARY)
        served(endpoint, 0.0, Prompt("a", 10, recited=recited), 6)
        assert served(endpoint, 9.0, Prompt("a", 21), 2).cached_tokens == cached


def test_a_shared_prefix_is_found_by_the_first_turn_of_another_session():
    """A prefix of 10 tokens: two whole blocks; the third is each session's own."""
    endpoint = VirtualEndpoint(BINARY)
    assert served(endpoint, 0.0, Prompt("a", 30, (("system", 10),)), 3).cached_tokens == 0
    assert served(endpoint, 1.0, Prompt("b", 30, (("system", 10),)), 3).cached_tokens == 8


FIRST = 1 / 256 + 1 / 16  # of a prompt of 64 tokens at 0; its steps take 1/64


@pytest.mark.parametrize(
    ("fault", "seen", "completion"),  # first token, last, end, chunks, longest gap
    [
        ("reset", (FIRST, FIRST, FIRST + 1 / 64, 1, None), None),
        ("error_event", (FIRST, FIRST, FIRST + 1 / 64, 1, None), None),
        ("truncated", (FIRST, FIRST + 1 / 16, FIRST + 1 / 16, 5, 1 / 64), None),
        ("empty", (None, None, FIRST + 1 / 16, 0, None), 0),
        ("stall", (FIRST, FIRST + 1.0, FIRST + 1.0, 5, 1.0), 5),
        ("no_usage", (FIRST, FIRST + 1 / 16, FIRST + 1 / 16, 5, 1 / 64), None),
    ],
)
def test_faults_look_as_they_do_on_the_wire(fault, seen, completion):
    endpoint = VirtualEndpoint(BINARY)
    reply = endpoint.reply(served(endpoint, 0.0, Prompt("a", 64), 5, fault))
    assert (reply.first_s, reply.last_s, reply.end_s, reply.chunks, reply.max_gap_s) == seen
    assert reply.completion_tokens == completion
    assert reply.finish == (None if fault in {"reset", "error_event", "truncated", "empty"} else "length")


def test_a_cancelled_request_shows_what_had_come_and_keeps_what_was_computed():
    """Cancelled 2.5 steps after its first token: three tokens; KV of 64 + 2: sixteen blocks."""
    endpoint = VirtualEndpoint(BINARY)
    job = endpoint.ask(0.0, Prompt("a", 64), 50, fault=None)
    at = FIRST + 2.5 / 64
    assert endpoint.until_end(at) == []
    endpoint.cancel(at, job)
    reply = endpoint.reply(job, at)
    assert (reply.first_s, reply.last_s, reply.end_s, reply.chunks) == (FIRST, FIRST + 2 / 64, at, 3)
    assert (reply.max_gap_s, reply.prompt_tokens, reply.finish) == (1 / 64, None, None)
    assert len(endpoint.model.cache) == 16
    assert endpoint.model.next_event_at() == inf


def test_an_answer_that_is_no_stream_shows_its_end_alone():
    endpoint = VirtualEndpoint(BINARY, stream=False)
    reply = endpoint.reply(served(endpoint, 0.0, Prompt("a", 64), 5))
    assert (reply.first_s, reply.end_s, reply.chunks) == (None, FIRST + 1 / 16, 0)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.finish) == (64, 5, "length")
