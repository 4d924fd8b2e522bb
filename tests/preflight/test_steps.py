"""Before the clock: servers that are not there yet, who they are, what is said of what they refuse."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from helpers.engine_answers import LLAMACPP, SMG, TRANSFORMERS, VLLM, models, serving
from helpers.scripted_server import DONE, END, HEAD, Script, chunked, event, plain_response, playing
from helpers.simulator import QUICK, Serve

from trie.config import Api, ConcurrencyConfig, EndpointConfig, PromptConfig, RunConfig, SimConfig, WorkloadConfig
from trie.errors import ConfigError, EndpointError, WorkloadError
from trie.preflight.prompt_lengths import Template
from trie.preflight.steps import Prepared, prepared
from trie.workload.trace import Trace, Workload

WORKLOAD = Workload("w", [Trace(50, (), (), (), 3, row=0)], "a test", "0" * 64)


@asynccontextmanager
async def ready(
    url: str, endpoint: dict[str, Any] | None = None, workload: Workload = WORKLOAD, **given: Any
) -> AsyncIterator[Prepared]:
    config = RunConfig(
        workload=WorkloadConfig(path="w.jsonl"),
        endpoint=EndpointConfig(base_url=url, **(endpoint or {})),
        **{"prompts": PromptConfig(pool_tokens=1 << 14), "max_retries": 0, **given},
    )
    async with prepared(config, workload) as run:
        yield run


def answered(request: bytes) -> Script:
    """As many words as the prompt has are counted; a stream has usage at its end."""
    prompt = request.partition(b'"prompt":"')[2].partition(b'"')[0]
    usage = b'{"prompt_tokens":%d,"completion_tokens":1}' % len(prompt.split())
    if b'"stream":true' in request:
        last = b'data: {"choices":[],"usage":%b}\n\n' % usage
        return (HEAD + chunked(event(" a", '"length"') + last + DONE) + END,)
    return (plain_response("200 OK", b'{"choices":[{"text":" a","finish_reason":"length"}],"usage":%b}' % usage),)


async def test_a_dialect_is_recognised_applied_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trie")
    async with playing(serving(VLLM, answered)) as (url, _), ready(url) as run:
        server = run.server()
    assert run.config.endpoint.reset_route == "/reset_prefix_cache"
    assert server["dialect"]["name"] == server["dialect"]["found"] == "vllm"
    assert server["dialect"]["version"] == "0.32.0"
    assert server["dialect"]["taken"] == {
        "cached_tokens_field": "prompt_tokens_details.cached_tokens",
        "cache_flag": "--enable-prompt-tokens-details",
        "reset_route": "/reset_prefix_cache",
    }
    assert server["facts"]["num_gpu_blocks"] == 80
    assert server["in_flight_before"] == 0
    assert (server["model"], server["max_model_len"]) == ("tiny", 131072)
    assert 0 < server["rtt"]["connect_min_s"] < 5
    assert 0 < server["rtt"]["get_min_s"] < 5
    assert "server is vLLM 0.32.0 (certain: /version answers 0.32.0, models owned by vllm" in caplog.text
    assert "from conf/endpoint/vllm.yaml: cached_tokens_field=" in caplog.text
    assert "no cached tokens in usage, nor when a prompt is sent again: start the server with --enable-" in caplog.text


async def test_a_named_dialect_is_checked_and_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    llama = playing(serving(LLAMACPP, answered, "Server: llama.cpp"))
    async with llama as (url, _), ready(url, {"name": "vllm"}) as run:
        pass
    assert run.config.endpoint == EndpointConfig(base_url=url, name="vllm")
    assert run.server()["dialect"]["taken"] == {}
    assert "server is llama.cpp b10434-3ebe0e6 (certain: " in caplog.text
    assert "), but endpoint=vllm was named; nothing is changed: endpoint=llamacpp has" in caplog.text
    assert run.context == 16384  # of a slot, not of the model


async def test_an_unknown_server_gets_no_dialect_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with playing(serving({"/v1/models": models("me", "M")}, answered)) as (url, _), ready(url) as run:
        assert run.config.endpoint.name == "custom"
    assert "server is unknown; no dialect is applied: completions, ignore_eos true sent, max_tokens" in caplog.text


async def test_a_gateway_tells_the_context_of_its_workers() -> None:
    async with playing(serving(SMG, answered, "x-smg-error-code: unknown_url")) as (url, _), ready(url) as run:
        assert run.config.endpoint.worker_header == "x-smg-routed-worker-id"
        assert run.context == 4096


async def test_our_own_server_is_recognised(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url, ready(url, warm_up=5, concurrency=ConcurrencyConfig(2)) as run:
        server = run.server()
    assert server["dialect"]["name"] == "sim"
    assert server["dialect"]["evidence"][0].startswith("/version answers")
    assert server["warm_up"]["requests"] == 5
    assert server["warm_up"]["failed"] == 0
    assert server["warm_up"]["error"] is None


async def test_failures_of_the_warm_up_are_counted(sim: Serve) -> None:
    faulty = SimConfig(**QUICK, fault_rate=1.0, faults=["http_500"])
    async with sim(faulty) as url:
        prompts = PromptConfig(pool_tokens=1 << 14, calibrate=False)
        async with ready(url, warm_up=3, prompts=prompts) as run:
            assert run.warm_up is not None
    assert (run.warm_up.requests, run.warm_up.failed) == (3, 3)
    assert "injected fault http_500" in (run.warm_up.error or "")


@pytest.mark.parametrize(
    ("refusal", "named"),
    [
        (("422 No", b'{"detail": "Unexpected fields in the request: {\'ignore_eos\'}"}'), "endpoint.ignore_eos=null"),
        (("404 No", b'{"detail": "Not Found"}'), "endpoint.api=chat takes the other"),
        (("500 No", b"oh"), "prompts.calibrate=false goes on without"),
    ],
)
async def test_a_refusal_of_the_first_requests_says_what_to_do(refusal: tuple[str, bytes], named: str) -> None:
    def refuse(_: bytes) -> Script:
        return (plain_response(*refusal),)

    async with playing(serving({"/v1/models": models("me", "M")}, refuse)) as (url, _):
        with pytest.raises(EndpointError, match="prompt lengths: HTTP") as error:
            async with ready(url):
                pass
    assert named in str(error.value)


async def test_transformers_serve_is_recognised_and_spoken_to_as_it_wants() -> None:
    def strict(request: bytes) -> Script:
        assert b"ignore_eos" not in request
        return answered(request)

    async with playing(serving(TRANSFORMERS, strict)) as (url, got), ready(url) as run:
        assert run.config.endpoint.name == "transformers"
    assert sum(request.startswith(b"POST") for request in got) == 4  # two for lengths, one stream twice


async def test_a_reset_without_a_route_is_refused_once_the_dialect_is_known() -> None:
    async with playing(serving(LLAMACPP, answered)) as (url, _):
        with pytest.raises(ConfigError, match=r"reset_cache=true: must be false: endpoint\.reset_route is not set"):
            async with ready(url, reset_cache=True):
                pass


Answers = Callable[[bytes], Script]


def late(times: int, before: Script, then: Answers) -> Answers:
    """Answers `before` so many times."""
    count = iter(range(times))
    return lambda request: then(request) if next(count, None) is None else before


@pytest.mark.parametrize(
    "before",
    [
        (None,),
        (plain_response("503 Loading", b"{}"),),
        (plain_response("200 OK", b'{"object": "list", "data": []}'),),
    ],
)
async def test_a_server_that_is_not_ready_is_waited_for(
    before: Script, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "trie")
    monkeypatch.setattr("trie.preflight.discovery.RETRY_EVERY_S", 0.01)
    server = playing(late(3, before, serving(VLLM, answered)))
    async with server as (url, _), ready(url, wait_for_ready=60.0) as run:
        assert run.model == "tiny"
    assert "waiting for 60 s more at most (wait_for_ready)" in caplog.text


async def test_waiting_ends() -> None:
    with pytest.raises(EndpointError, match=r"Connection refused, still after wait_for_ready=0\.05 seconds; is the"):
        async with ready("http://127.0.0.1:9/v1", wait_for_ready=0.05):
            pass


LONG = Workload(
    "long", [Trace(6000, (), (), (), 20, row=0), Trace(40, (30,), (10,), (0.0,), 20, row=1)], "a test", "0" * 64
)
UNKNOWN = {"/v1/models": models("me", "M")}


def refusing(reason: str) -> Script:
    return (plain_response("400 Bad Request", b'{"error":{"message":"%b"}}' % reason.encode()),)


def small_context(context: int) -> Answers:
    """A server that states its context only when a prompt is longer."""

    def answer(request: bytes) -> Script:
        tokens = len(request.partition(b'"prompt":"')[2].partition(b'"')[0].split())
        if tokens >= context:
            return refusing(f"the prompt has {tokens} tokens, this model's context holds {context}")
        return answered(request)

    return answer


async def test_lengths_are_verified_within_the_workloads_own() -> None:
    """A workload of at most 50 tokens of prompt, on a server that holds 64 and does not say so."""
    async with playing(serving(UNKNOWN, small_context(64))) as (url, _), ready(url) as run:
        assert run.length_check.offset_tokens == 0
    assert run.context is None


async def test_a_context_that_a_refusal_names_holds_for_the_workload(caplog: pytest.LogCaptureFixture) -> None:
    async with playing(serving(UNKNOWN, small_context(2048))) as (url, _):
        with pytest.raises(WorkloadError, match=r"1 of 2 traces need more than the 2048 tokens .* \(up to 6020; "):
            async with ready(url, workload=LONG):
                pass
        leaving_out = WorkloadConfig(path="w.jsonl", skip_too_long=True)
        prompts = PromptConfig(pool_tokens=1 << 14)
        config = RunConfig(leaving_out, EndpointConfig(base_url=url), prompts=prompts, max_retries=0)
        async with prepared(config, LONG) as run:
            assert (run.context, run.workload.skipped) == (2048, 1)
    assert (
        "a text of 4096 tokens is refused, that is its context; shorter ones are tried: prompt lengths: HTTP"
        in caplog.text
    )


async def test_a_server_that_refuses_shorter_texts_too_is_not_asked_for_ever() -> None:
    def answer(_: bytes) -> Script:
        return refusing("too long")

    async with playing(serving(UNKNOWN, answer)) as (url, got):
        with pytest.raises(EndpointError, match="prompt lengths: HTTP 400: too long; prompts"):
            async with ready(url):
                pass
    assert sum(request.startswith(b"POST") for request in got) == 2


def with_floor(least: int, words: str) -> Answers:
    """A server that answers so many tokens at least."""

    def answer(request: bytes) -> Script:
        asked = int(request.partition(b'"max_tokens":')[2].partition(b",")[0])
        return answered(request) if asked >= least else refusing(words % (asked, least))

    return answer


@pytest.mark.parametrize(
    ("least", "words"),
    [
        (16, "max_tokens: %d is below the least, %d"),
        (8, "max_tokens: Input should be greater than or equal to 8 (%d is not %d)"),
        (12, "Expected a value for max_tokens: %d < minimum %d"),
    ],
)
async def test_a_floor_under_the_answer_is_kept_from_then_on(
    least: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with playing(serving(UNKNOWN, with_floor(least, words))) as (url, got), ready(url) as run:
        assert run.length_check.verified
    asked = [int(request.partition(b'"max_tokens":')[2].partition(b",")[0]) for request in got if b"POST" in request]
    assert asked == [1, *[least] * 4], "one refusal, then as the server wants it"
    assert f"1 of the workload's 1 requests ask for fewer than {least} tokens, which the server refuses" in caplog.text


async def test_cached_tokens_that_are_reported_where_there_are_some_are_not_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: set[bytes] = set()

    def answer(request: bytes) -> Script:
        body = request.partition(b"\r\n\r\n")[2]
        if b'"stream":true' not in body or body not in seen:
            seen.add(body)
            return answered(request)
        usage = b'{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":6}}'
        return (HEAD + chunked(event(" a", '"length"') + b'data: {"choices":[],"usage":%b}\n\n' % usage + DONE) + END,)

    async with playing(serving(UNKNOWN, answer)) as (url, _), ready(url):
        pass
    assert "cached tokens" not in caplog.text


def wants_its_reasoning_back(request: bytes) -> Script:
    """A chat that counts words, and refuses an answer that called a tool and comes back without its thoughts."""
    messages = json.loads(request.partition(b"\r\n\r\n")[2])["messages"]
    if any("tool_calls" in message and not message.get("reasoning_content") for message in messages):
        return refusing("messages with tool calls need their reasoning_content")
    texts = [message[key] for message in messages for key in ("content", "reasoning_content") if key in message]
    usage = b'{"prompt_tokens":%d,"completion_tokens":1}' % len(" ".join(texts).split())
    if b'"stream":true' in request:
        delta = b'data: {"choices":[{"delta":{"content":" a"},"finish_reason":"length"}]}\n\n'
        return (HEAD + chunked(delta + b'data: {"choices":[],"usage":%b}\n\n' % usage + DONE) + END,)
    said = b'{"choices":[{"message":{"content":" a"},"finish_reason":"length"}],"usage":%b}' % usage
    return (plain_response("200 OK", said),)


async def test_reasoning_that_has_to_come_back_is_advised_and_verified_with() -> None:
    async with playing(serving(UNKNOWN, wants_its_reasoning_back)) as (url, _):
        with pytest.raises(EndpointError, match=r"need their reasoning_content\): history=content\+reasoning sends"):
            async with ready(url, {"api": Api.chat}):
                pass
        async with ready(url, {"api": Api.chat}, history="content+reasoning") as run:
            assert run.length_check.template == Template(0, 0)


@pytest.mark.parametrize(
    ("listing", "context"),
    [
        ([{"id": "M", "object": "model", "context_length": 4096}], 4096),  # Together
        ({"object": "list", "data": [{"id": "M", "context_window": 8192}]}, 8192),  # Groq
        ({"object": "list", "data": [{"id": "M", "max_context_length": 32768}]}, 32768),  # Mistral
        ({"data": [{"id": "M", "top_provider": {"context_length": 1024}}]}, 1024),  # OpenRouter
        ({"data": [{"id": "M", "max_context_length": 8192, "loaded_context_length": 2048}]}, 2048),  # LM Studio
        ({"models": [{"name": "M", "context_length": "512"}]}, 512),  # Cohere's shape
        ({"object": "list", "data": [{"id": "M"}]}, None),
    ],
)
async def test_models_and_contexts_are_read_as_clouds_list_them(listing: Any, context: int | None) -> None:
    async with playing(serving({"/v1/models": listing}, answered)) as (url, _), ready(url) as run:
        assert (run.model, run.context) == ("M", context)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("", "/v1"),
        ("/v1/chat/completions", "/v1"),
        ("/v1/completions", "/v1"),
        ("/v1/models", "/v1"),
        ("/chat/completions", "/v1"),
        ("?x=1", "/v1?x=1"),
        ("/v1/v1", "/v1"),
    ],
)
async def test_an_address_without_v1_or_with_a_route_gets_the_one_that_is_meant(path: str, meant: str) -> None:
    async with playing(serving(UNKNOWN, answered)) as (url, _):
        root = url.removesuffix("/v1")
        with pytest.raises(EndpointError, match=rf"did you mean {re.escape(root + meant)}\?$"):
            async with ready(root + path):
                pass


async def test_a_route_at_an_addresss_end_is_one_where_no_models_are_listed_too() -> None:
    async with playing(serving({}, answered)) as (url, _):
        with pytest.raises(EndpointError, match=rf"ends in a route: did you mean {re.escape(url)}/d\?api-version=1\?$"):
            async with ready(f"{url}/d/chat/completions?api-version=1"):
                pass


async def test_a_certificate_that_is_not_trusted_gets_the_settings_for_it() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with playing(serving(VLLM, answered), tls=context) as (url, _):
        with pytest.raises(
            EndpointError, match=r"certificate not trusted: .*; endpoint\.tls\.ca_file=FILE, or SSL_CERT_"
        ):
            async with ready(url):
                pass
        with pytest.raises(EndpointError, match=r"If it speaks TLS, endpoint=https://\.\.\. asks it so$"):
            async with ready(url.replace("https://", "http://")):
                pass


async def test_https_to_a_server_of_plain_http_is_told_so() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(plain_response("400 Bad Request", b"{}"))
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        with pytest.raises(EndpointError, match=r"speak http, without TLS\? endpoint=http://\.\.\. asks it so$"):
            async with ready(url):
                pass


@pytest.mark.parametrize(
    "words",
    [b"Client sent an HTTP request to an HTTPS server.", b"<html>The plain HTTP request was sent to HTTPS port</html>"],
)
async def test_a_server_that_says_it_wants_tls_is_understood(words: bytes) -> None:
    async with playing(lambda _: (plain_response("400 Bad Request", words),)) as (url, _):
        with pytest.raises(EndpointError, match=r"does it speak TLS\? endpoint=https://\.\.\. asks it so$"):
            async with ready(url):
                pass
