"""The proxy of `trie record`: nothing of an answer is lost or changed, and requests come through as they were sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from helpers.scripted_server import (
    CLOSE,
    COUNTS,
    DONE,
    END,
    HEAD,
    USAGE,
    chunked,
    event,
    plain_response,
    playing,
    scripted,
)
from helpers.simulator import QUICK, Serve
from yarl import URL

from trie.api import Client
from trie.config import EndpointConfig, SimConfig
from trie.recording.proxy import Proxy
from trie.recording.sessions import Recording
from trie.workload.importers.session import Options
from trie.workload.trace import Trace

KEY = "Bearer sk-secret-of-a-client"


@asynccontextmanager
async def recorded(url: str) -> AsyncIterator[tuple[int, Recording]]:
    """A proxy in front of a server: its port, and what it notes."""
    recording = Recording(Options())
    async with Proxy(URL(url), recording, "X-Session-ID").serving(0) as port:
        yield port, recording


async def ask(port: int, body: dict[str, Any], path: str = "/v1/completions", **headers: str) -> tuple[bytes, bytes]:
    """Head and body of a raw answer, as the network brings them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", f"Authorization: {KEY}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + content)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body_bytes = answer.partition(b"\r\n\r\n")
    return head, body_bytes


def unchunked(body: bytes) -> tuple[bytes, bool]:
    """The content of a chunked body, and whether it was ended in order."""
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return content, True
        content, body = content + body[:length], body[length + 2 :]
    return content, False


ODD = b': a comment\n\ndata: {"choices":[{"text":"\xe2\x82\xac"}],"usage":null}\r\n\r\nevent: x\ndata: {}\n\n'


async def test_a_stream_comes_byte_for_byte_however_the_network_cuts_it():
    sent = event("a") + ODD + event("b", '"stop"') + USAGE + DONE
    pieces = [sent[at : at + 7] for at in range(0, len(sent), 7)]
    asking = {"model": "M", "prompt": "x" * 300, "stream": True, "stream_options": {"include_usage": True}}
    script = (HEAD, *(step for piece in pieces for step in (chunked(piece), 0.001)), END)
    async with scripted(script) as (url, got), recorded(url) as (port, recording):
        head, body = await ask(port, asking)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert unchunked(body) == (sent, True)
    assert json.loads(got[0].partition(b"\r\n\r\n")[2]) == asking
    assert f"Authorization: {KEY}".encode() in got[0]
    assert recording.requests == 1


async def test_usage_is_asked_for_where_the_client_did_not_and_its_chunk_is_taken_out_again():
    bare = event("a") + ODD + event("b", '"stop"') + DONE
    with_usage = bare.removesuffix(DONE) + USAGE + DONE
    pieces = [with_usage[at : at + 11] for at in range(0, len(with_usage), 11)]
    async with scripted((HEAD, *map(chunked, pieces), END)) as (url, got), recorded(url) as (port, recording):
        _, body = await ask(port, {"prompt": "x", "stream": True, "max_tokens": 2})
    assert unchunked(body) == (bare, True)
    wanted = {"prompt": "x", "stream": True, "max_tokens": 2, "stream_options": {"include_usage": True}}
    assert json.loads(got[0].partition(b"\r\n\r\n")[2]) == wanted
    [[call]] = recording.snapshot().calls
    assert (call.prompt, call.completion, call.survives) == (7, 2, 3)


async def test_a_server_that_refuses_stream_options_is_asked_without():
    refusal = plain_response("400 Bad Request", b'{"error":"unknown field stream_options"}')
    stream = (HEAD, chunked(event("a") + DONE), END)
    async with scripted((refusal,), stream, stream) as (url, got), recorded(url) as (port, recording):
        for _ in range(2):
            _, body = await ask(port, {"prompt": "x", "stream": True})
            assert unchunked(body) == (event("a") + DONE, True)
    assert [b"stream_options" in request for request in got] == [True, False, False]
    assert recording.snapshot().dropped == {"answers without usage": 2}


@pytest.mark.parametrize("ending", [CLOSE, None])
async def test_an_answer_that_breaks_off_breaks_off_after_the_same_bytes(ending):
    async with scripted((HEAD, chunked(event("a")), 0.05, ending)) as (url, _), recorded(url) as (port, recording):
        _, body = await ask(port, {"prompt": "x", "stream": True})
    assert unchunked(body) == (event("a"), False)
    assert recording.snapshot().dropped == {"answers that broke off": 1}


async def test_errors_and_headers_pass_through():
    error = b'{"error":{"message":"slow down"}}'
    script = plain_response("429 Too Many Requests", error, "Retry-After: 7", "X-Served-By: w1", "X-Served-By: w2")
    async with scripted((script,)) as (url, _), recorded(url) as (port, recording):
        head, body = await ask(port, {"prompt": "x"})
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    for line in (b"Retry-After: 7", b"X-Served-By: w1", b"X-Served-By: w2", b"Content-Length: %d" % len(error)):
        assert line in head
    assert body == error
    assert recording.snapshot().dropped == {"requests that failed with HTTP 429": 1}


async def test_a_server_that_is_not_there_is_a_502():
    async with scripted() as (url, _):
        pass
    async with recorded(url) as (port, _):
        head, body = await ask(port, {"prompt": "x"})
    assert head.startswith(b"HTTP/1.1 502 ")
    assert json.loads(body)["error"]["message"].startswith("trie record: can't reach the upstream: ")


async def test_a_client_that_goes_away_takes_its_request_with_it():
    """The engine must not go on with an answer that nobody reads."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunked(event("a")))
        while await reader.read(1000):
            pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, recorded(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as (port, recording):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        await reader.readuntil(b"\n\n")
        writer.close()
        await asyncio.wait_for(gone.wait(), 10)
    assert recording.snapshot().dropped == {"answers that the client gave up": 1}


async def test_an_answer_in_one_piece_tells_its_usage():
    answer = b'{"choices":[{"message":{"content":"hi"}}],"usage":' + COUNTS + b"}"
    async with playing(lambda _: (plain_response("200 OK", answer),)) as (url, _), recorded(url) as (port, recording):
        for prompt in (
            {"messages": [{"role": "user", "content": "a"}]},
            {"prompt": ["a", "b"]},
            {"prompt": "a", "n": 2},
        ):
            _, body = await ask(port, prompt, "/v1/chat/completions")
            assert body == answer
    assert recording.requests == 1
    assert recording.snapshot().dropped == {"requests of several prompts or answers": 2}


@pytest.mark.parametrize("header", [None, "X-Session-ID"])
async def test_what_trie_replays_through_it_comes_back_as_the_same_traces(
    sim: Serve, tmp_path: Path, header: str | None
):
    """Lengths are equal, by prompts or by the session's header; waits are those of the traces or a little longer."""
    names = (
        "input_prompt_length",
        "assistant_response_length",
        "tool_call_output_length",
        "final_assistant_response_length",
    )
    traces = [
        Trace(400, (20, 31), (50, 60), (0.02, 0.01), 12),
        Trace(300, (9,), (0,), (0.0,), 3),
        Trace(500, (), (), (), 7),
    ]
    async with sim(SimConfig(**QUICK)) as url, recorded(url) as (port, recording):
        endpoint = EndpointConfig(base_url=f"http://127.0.0.1:{port}/v1", session_header=header)
        client = Client(endpoint, "sim", tokenizer_model="words")
        await client.run(traces, concurrency=3, duration=0.5, directory=tmp_path / "run", show=False, progress="none")
    content, _ = recording.snapshot().rows()
    rows = {orjson.dumps([row[name] for name in names]): row for row in map(orjson.loads, content.splitlines())}
    for trace in traces:
        row = rows[orjson.dumps([getattr(trace, name) for name in names])]
        assert all(wait >= given for wait, given in zip(row["tool_call_latency"], trace.tool_call_latency, strict=True))
