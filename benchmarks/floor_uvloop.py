"""The floor of Python: what a client costs that does nothing but send, and note the time of each read, on uvloop.

    python benchmarks/floor_uvloop.py --port PORT --connections 64 --first 0 --rounds 4 --body-bytes 12000 \
        --tokens 200 --log FILE

One protocol object a connection, no parsing, nothing kept but instants. Streams begin one after the other, STAGGER_S
apart: chunks of streams that begin at once come together too, and one wait of the loop then serves many of them. The
rest is as in native/floor.c, which has the format of the log and of what is printed. It knows the answers of
sse_server and no others.
"""

from __future__ import annotations

import argparse
import asyncio
from array import array
from pathlib import Path
from time import perf_counter, process_time

import uvloop

STAGGER_S = 0.0003  # about what a session of trie takes to begin
END = b"0\r\n\r\n"


class Stream(asyncio.Protocol):
    """Requests of one connection, each after the end of the answer before."""

    def __init__(self, number: int, options: argparse.Namespace, ended: asyncio.Future[None]) -> None:
        self.number, self.options, self.ended = number, options, ended
        self.sent: list[float] = []
        self.first: list[float] = []  # read that brought more than headers
        self.read_at = array("d")
        self.reads: list[tuple[float, int]] = []  # of each request that has ended: the last one, and how many
        self.awaits_first = False
        self.tail = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def send(self) -> None:
        body = self.options.body
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: floor-{self.number}-{len(self.sent)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        del self.read_at[:]
        self.awaits_first = True
        self.sent.append(perf_counter())
        self.transport.writelines((head.encode(), body))

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        self.read_at.append(now)
        if self.awaits_first and not data.endswith(b"\r\n\r\n"):
            self.awaits_first = False
            self.first.append(now)
        if len(data) < len(END):
            data = self.tail + data
        self.tail = data[-len(END) :]
        if self.tail == END:
            self.reads.append((now, len(self.read_at)))
            if len(self.sent) < self.options.rounds:
                self.send()
            else:
                self.ended.set_result(None)

    def lines(self) -> list[str]:
        """Of the log."""
        return [
            f"floor-{self.number}-{turn},{sent:.9f},{first:.9f},{last:.9f},{reads}\n"
            for turn, (sent, first, (last, reads)) in enumerate(zip(self.sent, self.first, self.reads, strict=True))
        ]


def body_of(size: int, tokens: int) -> bytes:
    opening = b'{"model":"sim","prompt":"'
    ending = b'","max_tokens":%d,"stream":true}' % tokens
    words = b"word " * (size // 5 + 1)
    return opening + words[: max(size - len(opening) - len(ending), 0)] + ending


async def run(options: argparse.Namespace) -> list[Stream]:
    loop = asyncio.get_running_loop()
    streams = []
    for number in range(options.connections):
        stream = Stream(options.first + number, options, loop.create_future())
        await loop.create_connection(lambda stream=stream: stream, "127.0.0.1", options.port)
        streams.append(stream)
    before_s = process_time()
    for number, stream in enumerate(streams):
        loop.call_later(number * STAGGER_S, stream.send)
    await asyncio.gather(*(stream.ended for stream in streams))
    print(f"cpu_s {process_time() - before_s:.6f}")
    return streams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("port", "connections", "rounds", "body-bytes", "tokens"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    options.body = body_of(options.body_bytes, options.tokens)
    streams = uvloop.run(run(options))
    lines = [line for stream in streams for line in stream.lines()]
    options.log.write_text("x_request_id,sent_s,first_token_s,end_s,reads\n" + "".join(lines))


if __name__ == "__main__":
    main()
