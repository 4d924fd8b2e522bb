"""A server that logs: streams as many tokens as were asked for at a fixed pace, and writes down each answer.

    python benchmarks/server.py --itl-ms 200 --log answers.csv      prints its port, serves until its stdin ends

A line of the log is `x_request_id,tokens,monotonic_s`, written when the last byte of an answer went to the socket, so
that a client's rows can be held against it. An answer whose connection broke is not in it. Loopback alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
MODELS = json.dumps({"object": "list", "data": [{"id": "M", "object": "model", "max_model_len": 262_144}]}).encode()
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.IGNORECASE)
ASKED = re.compile(rb'"max_tokens": *(\d+)')
PROMPT = re.compile(rb'"prompt": *"([^"]*)')


def frame(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(fields: str) -> bytes:
    return frame(b'data: {"id":"x","object":"text_completion","model":"M",%s}\n\n' % fields.encode())


def json_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


TOKEN = event('"choices":[{"index":0,"text":" word","finish_reason":null}]')
LAST = event('"choices":[{"index":0,"text":" word","finish_reason":"length"}]')
DONE = frame(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection, one request after the other."""

    def __init__(self, ttft_s: float, itl_s: float, log: IO[str]) -> None:
        self._ttft_s, self._itl_s, self._log = ttft_s, itl_s, log
        self._loop = asyncio.get_running_loop()
        self._data = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._data[: end + 2])
        length = LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._data) < whole:
            return
        body = bytes(self._data[end + 4 : whole])
        del self._data[:whole]
        if head.startswith(b"GET"):
            self._write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(MODELS)
            )
            self._write(MODELS)
            return
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        found, asked, prompt = REQUEST_ID.search(head), ASKED.search(body), PROMPT.search(body)
        self._id = found[1].decode() if found else "-"
        self._tokens = self._left = int(asked[1]) if asked else 1
        self._prompt_tokens = prompt[1].count(b" ") + (not prompt[1].startswith(b" ")) if prompt else 0
        if b'"stream":false' in body:
            self._plain()
            return
        self._write(HEAD)
        self._due = self._loop.time() + self._ttft_s
        self._timer = self._loop.call_at(self._due, self._step)

    def _step(self) -> None:
        self._left -= 1
        if self._left:
            self._write(TOKEN)
            self._due += self._itl_s
            self._timer = self._loop.call_at(self._due, self._step)
            return
        self._write(LAST + event(f'"choices":[],"usage":{self._usage()}') + DONE)
        self._note()

    def _plain(self) -> None:
        text = json.dumps(" word" * self._tokens)
        choices = f'[{{"index":0,"text":{text},"finish_reason":"length"}}]'
        body = f'{{"choices":{choices},"usage":{self._usage()}}}'.encode()
        self._write(json_answer(body))
        self._note()

    def _usage(self) -> str:
        return f'{{"prompt_tokens":{self._prompt_tokens},"completion_tokens":{self._tokens}}}'

    def _note(self) -> None:
        self._log.write(f"{self._id},{self._tokens},{time.monotonic():.6f}\n")


async def serve(ttft_s: float, itl_s: float, log: IO[str]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: Connection(ttft_s, itl_s, log), "127.0.0.1", 0, backlog=8192)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ttft-ms", type=float, default=50.0, help="from a whole request to the first token")
    parser.add_argument("--itl-ms", type=float, default=20.0, help="from one token to the next")
    parser.add_argument("--log", type=Path, required=True, help="file that each answer is a line of")
    options = parser.parse_args()
    runner = asyncio.run
    with suppress(ImportError):
        import uvloop

        runner = uvloop.run
    with options.log.open("w", buffering=1, encoding="utf-8") as log:
        runner(serve(options.ttft_ms / 1e3, options.itl_ms / 1e3, log))


if __name__ == "__main__":
    main()
