"""A raw server that plays what a test scripts, byte by byte, and the pieces of answers to script."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum


class Ending(Enum):
    close = "close"


CLOSE = Ending.close
# Bytes to write, seconds to wait, CLOSE to close the connection in order, None to reset it. A script that ends
# otherwise leaves it open for another request.
Script = Sequence[bytes | float | Ending | None]


@asynccontextmanager
async def playing(
    answer: Callable[[bytes], Script], *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A raw server: each whole request is answered with what `answer` makes of it, on the same connection.

    Yields its base URL and the requests it got.
    """
    got: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                got.append(head + await reader.readexactly(length))
                if not await play(answer(got[-1]), writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # of a cancelled task the stream's own callback would report an error
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, limit=1 << 24, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}/v1", got
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def play(script: Script, writer: asyncio.StreamWriter) -> bool:
    """Play one script; false when it ended the connection."""
    for step in script:
        if step is None:
            # Without time to linger a close is a reset; what was sent just before may never arrive.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if step is CLOSE:
            return False
        if isinstance(step, float):
            await asyncio.sleep(step)
        else:
            writer.write(step)
            await writer.drain()
    return True


def scripted(*scripts: Script) -> AbstractAsyncContextManager[tuple[str, list[bytes]]]:
    """A raw server that plays one script for each request, whatever the connection, and resets when there is none."""
    waiting = iter(scripts)
    return playing(lambda _: next(waiting, (None,)))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text: str, finish: str = "null") -> bytes:
    return b'data: {"choices":[{"index":0,"text":"%s","finish_reason":%s}]}\n\n' % (text.encode(), finish.encode())


COUNTS = b'{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}'
USAGE = b'data: {"choices":[],"usage":' + COUNTS + b"}\n\n"
DONE = b"data: [DONE]\n\n"
END = b"0\r\n\r\n"


def plain_response(status: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in ("Content-Type: application/json", *headers))
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
