"""What `trie probe` finds: streams taken apart, prefixes sent twice, token ids, on the simulator and on stand-ins."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.engine_answers import LLAMACPP, TRANSFORMERS, VLLM, serving
from helpers.scripted_server import DONE, END, HEAD, Script, chunked, event, plain_response, playing
from helpers.simulator import QUICK, Serve

from trie.config import Api, EndpointConfig, PromptConfig, RunConfig, SimConfig, WorkloadConfig
from trie.endpoint import sse
from trie.endpoint.response import Answer
from trie.errors import EndpointError
from trie.preflight.probe import Anatomy, anatomy, examine
from trie.report.probe import probe_lines

USAGE = b'{"prompt_tokens":9,"completion_tokens":%d}'
OWN = b'data: {"choices":[],"usage":' + USAGE % 2 + b"}\n\n"
EACH = b"".join(
    b'data: {"choices":[{"text":" a","finish_reason":null}],"usage":%b}\n\n' % (USAGE % tokens) for tokens in (4, 8)
)
FINISH = b'data: {"choices":[{"text":"","finish_reason":"length"}],"usage":' + USAGE % 2 + b"}\n\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (event(" a") + event(" b", '"length"') + OWN + DONE, Anatomy(2, True, "own chunk")),
        (event(" a") + event(" b") + FINISH, Anatomy(2, False, "finish chunk")),
        (EACH + OWN + DONE, Anatomy(2, True, "every chunk")),
        (
            event(" a") + event(" b", '"length","usage":' + (USAGE % 2).decode()) + DONE,
            Anatomy(2, True, "finish chunk"),
        ),
        (event(" a") + event(" b", '"length"') + DONE, Anatomy(2, True, None)),
        (b"data: 3\n\ndata: no json\n\n", Anatomy(2, False, None)),
    ],
)
def test_a_stream_is_taken_apart(body: bytes, expected: Anatomy) -> None:
    assert anatomy(body, 2) == expected


def test_usage_in_every_chunk_tells_the_tokens_of_the_first() -> None:
    answer = Answer()
    for data, end in sse.decode(EACH + OWN + DONE):
        answer.event(data, end)
    assert answer.first_chunk_tokens == 4


async def probed(url: str, endpoint: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    config = RunConfig(
        workload=WorkloadConfig(bundled="sample.jsonl", name="sample"),
        endpoint=EndpointConfig(base_url=url, **(endpoint or {})),
        **{"prompts": PromptConfig(pool_tokens=1 << 14), "max_retries": 0, **given},
    )
    return (await examine(config)).to_json()


def lines_of(examination: dict[str, Any]) -> dict[str, str]:
    return {word: text for word, text in probe_lines(examination) if word}


async def test_the_simulator(sim: Serve) -> None:
    """Blocks of 16 and never the whole prompt: 1,008 of 1,024 tokens hit the second time."""
    async with sim(SimConfig(**QUICK, tokens_per_chunk=4, block_tokens=16)) as url:
        examination = await probed(url, reset_cache=True)
    assert (examination["stream"]["usage"], examination["stream"]["done"], examination["stream"]["tokens"]) == (
        "own chunk",
        True,
        32,
    )
    assert examination["stream"]["chunks"] == 9  # the first token alone, the other 31 four at a time
    assert (examination["stream"]["continuous_usage"], examination["stream"]["first_chunk_tokens"]) == (True, 1)
    assert (examination["cache"]["cached_tokens_first"], examination["cache"]["cached_tokens_again"]) == (0, 1008)
    assert examination["workload"] == {"name": "sample", "traces": 48, "fit": 48, "longest_tokens": 3885}
    assert examination["counters"]["of"] == ["trie_sim"]
    assert examination["refused"] is None
    lines = lines_of(examination)
    assert lines["cache"] == "1,008 of 1,024 tokens cached when sent again, 0 at first"
    assert lines["lengths"] == "32 of 32 tokens in 9 chunks (ignore_eos true)"
    assert lines["reset"] == "the prefix cache was emptied"


async def test_what_a_server_does_not_report_is_shown_with_its_flag(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK, report_cached_tokens=False)) as url:
        examination = await probed(url, {"name": "vllm", "cache_flag": "--enable-prompt-tokens-details"})
    assert lines_of(examination)["cache"] == (
        "cached tokens are not reported: start the server with --enable-prompt-tokens-details"
    )
    assert lines_of(examination)["dialect"].startswith("vllm 0.1.0 as named, but the server looks like sim (")


async def test_short_answers_are_seen(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        examination = await probed(url, {"name": "mine", "ignore_eos": None})
    assert examination["stream"]["tokens"] < 32
    assert lines_of(examination)["lengths"].endswith("ended by stop: the length is not kept")


async def test_a_chat_has_no_token_ids(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        examination = await probed(url, {"api": Api.chat})
    assert examination["token_ids"] is None
    assert "token ids" not in lines_of(examination)


def answered(request: bytes) -> Script:
    """As many words as the prompt has are counted; ids are refused."""
    if b'"prompt":[' in request:
        return (plain_response("400 Bad Request", b'{"detail":"prompt must be a string."}'),)
    prompt = request.partition(b'"prompt":"')[2].partition(b'"')[0]
    usage = b'{"prompt_tokens":%d,"completion_tokens":1}' % len(prompt.split())
    last = b'data: {"choices":[{"text":"","finish_reason":"length"}],"usage":%b}\n\n' % usage
    if b'"stream":true' in request:
        return (HEAD + chunked(event(" a") + last) + END,)
    return (plain_response("200 OK", b'{"choices":[{"text":" a","finish_reason":"length"}],"usage":%b}' % usage),)


async def test_transformers_serve() -> None:
    async with playing(serving(TRANSFORMERS, answered)) as (url, _):
        lines = lines_of(await probed(url))
    assert lines["dialect"] == "transformers: it has the route /load_model"
    assert lines["stream"] == "usage in the chunk that ends it, ends without [DONE]; no usage in every chunk"
    assert lines["token ids"] == 'refused as prompts: HTTP 400: {"detail":"prompt must be a string."}'
    assert lines["cache"] == "cached tokens are not reported"
    assert lines["counters"] == "none to be read (endpoint.metrics_route)"
    assert lines["workload"].endswith("whether they fit is not known")


async def test_a_context_that_holds_no_trace_is_a_finding() -> None:
    tiny = {**LLAMACPP, "/props": {"default_generation_settings": {"n_ctx": 64}, "total_slots": 1}}
    async with playing(serving(tiny, answered)) as (url, _):
        examination = await probed(url)
    assert examination["workload"]["fit"] == 0
    assert lines_of(examination)["model"] == "tiny (lists tiny), context 64 tokens"


async def test_lengths_that_are_wrong_are_shown_after_all_else() -> None:
    def by_letter(request: bytes) -> Script:
        body = answered(request)[0]
        assert isinstance(body, bytes)
        return (body.replace(b'"prompt_tokens":16,', b'"prompt_tokens":99,'),)

    async with playing(serving(VLLM, by_letter)) as (url, _):
        examination = await probed(url)
    assert "the server counts 99 for 16" in examination["refused"]
    assert list(lines_of(examination))[-1] == "refused"


async def test_a_server_that_refuses_requests_is_not_usable() -> None:
    def refuse(_: bytes) -> Script:
        return (plain_response("400 Bad Request", b'{"error": "unknown field ignore_eos"}'),)

    async with playing(serving(VLLM, refuse)) as (url, _):
        with pytest.raises(EndpointError, match=r"field ignore_eos; leave it out with endpoint\.ignore_eos=null"):
            await probed(url)
