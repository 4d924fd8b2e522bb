"""A small forward proxy: absolute addresses for http, CONNECT for https; it finds every host on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@asynccontextmanager
async def forwarding(*, refusal: bytes | None = None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that answers all with `refusal` where there is one. Yields its address and the heads that it got."""
    got: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await _serve(reader, writer, got, refusal)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", got
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(reader: Reader, writer: Writer, got: list[bytes], refusal: bytes | None) -> None:
    """One connection of a client, to one server."""
    async with AsyncExitStack() as stack:
        await _pass_on(reader, writer, got, refusal, stack)


async def _pass_on(
    reader: Reader, writer: Writer, got: list[bytes], refusal: bytes | None, stack: AsyncExitStack
) -> None:
    server: tuple[Reader, Writer] | None = None
    while True:
        got.append(head := await reader.readuntil(b"\r\n\r\n"))
        method, address, _ = head.split(b" ", 2)
        if refusal is not None:
            writer.write(refusal)
            return
        host = address.removeprefix(b"http://").partition(b"/")[0]
        if server is None:
            server = await asyncio.open_connection("127.0.0.1", int(host.rpartition(b":")[2]))
            stack.push_async_callback(_closed, server[1])
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, server[1]), _pump(server[0], writer))
            return
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"proxy-")]
        server[1].write(b"\r\n".join(lines).replace(b"http://" + host, b"", 1))
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        server[1].write(await reader.readexactly(length))
        await _pump(server[0], writer, until=b"\r\n0\r\n\r\n")


async def _closed(writer: Writer) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _pump(source: Reader, sink: Writer, *, until: bytes = b"") -> None:
    """Pass bytes on to the source's end, or to the end of a chunked body."""
    tail = b""
    while data := await source.read(1 << 16):
        sink.write(data)
        tail = (tail + data)[-16:]
        if until and tail.endswith(until):
            return
    sink.close()
