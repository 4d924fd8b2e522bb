"""What `trie record` adds to the time to the first token, to the whole answer and to each chunk.

    python benchmarks/record.py

One client asks the precise server in turn directly and through the proxy, on connections that stay open, so that both
see the same machine at the same time. Figures are percentiles through the proxy less those without it. On a busy
machine only p10 says what the proxy itself takes. The goal is 1 ms.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from harness import machine, server, table

GOAL_MS = 1.0
WORDS_A_MESSAGE = 400
WARM_UP = 10  # turns that are not counted


class Times(NamedTuple):
    """Milliseconds from the send of a request."""

    first: float
    last: float


def body(tokens: int, turn: int, *, usage: bool) -> bytes:
    """A chat of messages of some 400 words; the same words in each, since only their amount matters here."""
    message = f"turn {turn}: " + "word " * WORDS_A_MESSAGE
    messages = [
        {"role": ("user", "assistant")[at % 2], "content": message} for at in range(max(tokens // WORDS_A_MESSAGE, 1))
    ]
    options = {"stream_options": {"include_usage": True}} if usage else {}
    return json.dumps({"model": "m", "messages": messages, "stream": True, "max_tokens": 50, **options}).encode()


def ask(connection: http.client.HTTPConnection, content: bytes) -> Times:
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read1(65536)
    first = time.perf_counter()
    response.read()
    return Times(1e3 * (first - began), 1e3 * (time.perf_counter() - began))


def compared(ports: tuple[int, int], tokens: int, turns: int, *, usage: bool) -> list[str]:
    """A line of the table: the differences of many turns."""
    direct, through = (http.client.HTTPConnection("127.0.0.1", port) for port in ports)
    seen: dict[int, list[Times]] = {id(direct): [], id(through): []}
    for turn in range(turns + WARM_UP):
        content = body(tokens, turn, usage=usage)
        for connection in (direct, through) if turn % 2 else (through, direct):
            seen[id(connection)].append(ask(connection, content))
    with_proxy, without = (seen[id(connection)][WARM_UP:] for connection in (through, direct))
    usage_words = "asked for" if usage else "taken out again"
    cells = [added([times[at] for times in with_proxy], [times[at] for times in without]) for at in range(2)]
    return [f"{tokens:,} tokens, usage {usage_words}", f"{turns}", *cells]


def added(with_proxy: list[float], without: list[float]) -> str:
    """Percentiles less percentiles: the least that nothing else disturbed, the middle, and the tail."""
    pairs = zip(*(statistics.quantiles(values, n=100) for values in (with_proxy, without)), strict=True)
    differences = [more - less for more, less in pairs]
    return " / ".join(f"{differences[share - 1]:.2f}" for share in (10, 50, 99))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200)
    options = parser.parse_args()
    print(machine())
    print(f"goal: {GOAL_MS:g} ms\n")
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), ttft_ms=5, itl_ms=1) as at:
        command = [sys.executable, "-m", "trie", "record", "--upstream", at.url, "-o", str(Path(folder) / "mine.jsonl")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
            assert proxy.stdout is not None
            port = int(proxy.stdout.readline().partition("clients to http://127.0.0.1:")[2].partition("/")[0])
            cases = [(tokens, usage) for tokens in (1_000, 20_000, 100_000) for usage in (True, False)]
            head = ["prompt", "turns", "TTFT added: p10 / p50 / p99 (ms)", "whole answer"]
            table(head, (compared((at.port, port), tokens, options.turns, usage=usage) for tokens, usage in cases))
            proxy.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
