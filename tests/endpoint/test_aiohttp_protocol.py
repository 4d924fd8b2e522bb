"""The private parts of aiohttp that the client uses: each is there, is what we take it for, and has one user."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader
from helpers.scripted_server import DONE, END, HEAD, chunked, event, playing
from hypothesis import given, settings
from hypothesis import strategies as st

import trie
from trie.config import EndpointConfig
from trie.endpoint import aiohttp_protocol
from trie.endpoint.aiohttp_protocol import StampedProtocol
from trie.endpoint.connection import Connections
from trie.endpoint.exchange import Exchange

MODULE = Path(aiohttp_protocol.__file__)
AIOHTTP = f"aiohttp {aiohttp.__version__}, which trie.endpoint.aiohttp_protocol extends,"
ABSENT = object()

# Where each private part lies, and what it must be while a chunked answer is being received.
PRIVATE: dict[str, tuple[type, Callable[[Any], bool], str]] = {
    "_factory": (aiohttp.TCPConnector, callable, "makes the protocol of a new connection"),
    "_loop": (ResponseHandler, lambda value: isinstance(value, asyncio.AbstractEventLoop), "is the loop"),
    "_payload": (ResponseHandler, lambda value: value is None or isinstance(value, StreamReader), "is the open body"),
    "_exception": (ResponseHandler, lambda value: value is None, "says what the parser found wrong, None for nothing"),
    "_reading_paused": (ResponseHandler, lambda value: value is False, "says whether reading is paused"),
    "_buffer": (StreamReader, lambda value: isinstance(value, deque), "holds the pieces of the body that came"),
    "_size": (StreamReader, lambda value: isinstance(value, int), "counts the bytes in that buffer"),
    "_http_chunk_splits": (
        StreamReader,
        lambda value: value is None or hasattr(value, "clear"),
        "holds where chunks end, or None",
    ),
}
METHODS: dict[str, tuple[str, ...]] = {  # that we override or call, with the parameters that we name or are given
    "feed_data": ("data",),
    "data_received": ("data",),
    "connection_lost": ("exc",),
    "force_close": (),
    "set_exception": ("exc",),
    "resume_reading": (),
    "is_connected": (),
    "set_response_params": ("read_until_eof", "read_bufsize", "max_line_size", "max_field_size"),
}


@pytest.fixture(scope="module")
def values() -> dict[str, object]:
    """The private parts by their names, of a connection in the middle of a chunked answer; those that are there."""

    async def read() -> dict[str, object]:
        async with playing(lambda _: (60.0,)) as (url, _), Connections(EndpointConfig(base_url=url), url) as opened:
            connection = await opened._open()
            protocol = connection.protocol
            assert isinstance(protocol, StampedProtocol), f"{AIOHTTP} ignores connector._factory"
            protocol.set_response_params(read_until_eof=True)
            ResponseHandler.data_received(protocol, HEAD + chunked(event("a")))  # ours would fail where a part lacks
            owners = {aiohttp.TCPConnector: opened._connector, ResponseHandler: protocol, StreamReader: protocol.body}
            parts = {name: getattr(owners[owner], name, ABSENT) for name, (owner, _, _) in PRIVATE.items()}
            connection.close()
            return parts

    return asyncio.run(read())


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_part_is_there(values: dict[str, object], name: str) -> None:
    owner, is_right, meaning = PRIVATE[name]
    assert values[name] is not ABSENT, f"{AIOHTTP} has no {owner.__name__}.{name} any more: it {meaning}"
    assert is_right(values[name]), f"{AIOHTTP} has another {owner.__name__}.{name}, {values[name]!r}: it {meaning}"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_what_we_pass(name: str) -> None:
    method = getattr(ResponseHandler, name, None)
    assert method is not None, f"{AIOHTTP} has no ResponseHandler.{name} any more"
    lacking = [word for word in METHODS[name] if word not in inspect.signature(method).parameters]
    assert not lacking, f"{AIOHTTP} has no parameter {', '.join(lacking)} in ResponseHandler.{name} any more"


async def test_a_body_comes_whole_and_each_read_is_stamped() -> None:
    """What the parts are used for, through a real socket."""
    stream = event("a") + event("b", '"stop"') + DONE
    script = (HEAD, chunked(stream[:9]), 0.05, chunked(stream[9:]), END)
    exchange = Exchange()
    async with playing(lambda _: script) as (url, _), Connections(EndpointConfig(base_url=url), url) as connections:
        await connections.post("/completions", b"{}", exchange)
    assert (exchange.error_kind, exchange.body) == (None, stream), f"{AIOHTTP} keeps bodies elsewhere"
    assert (exchange.read_size[0], exchange.read_size[-1]) == (9, len(stream)), f"{AIOHTTP} counts bytes in another way"


class _Transport(asyncio.Transport):
    def is_closing(self) -> bool:
        return False

    def writelines(self, list_of_data: object) -> None:
        """Nobody reads it."""

    def close(self) -> None:
        """There is no socket."""


class _Parsing(StampedProtocol):
    """The same, with every read through aiohttp's parser."""

    def data_received(self, data: bytes) -> None:
        self._skips = False
        super().data_received(data)


PAYLOAD = st.sampled_from(
    [event("a"), event("Dd"), b"data: crlf\r\n\r\n", DONE, b"x", b"data: [", b"DONE]\n\n", event("e" * 300)]
)
FRAME = st.one_of(
    PAYLOAD.map(chunked),
    PAYLOAD.map(lambda payload: chunked(payload).upper()),  # the size too
    PAYLOAD.map(lambda payload: b"0" + chunked(payload)),
    PAYLOAD.map(lambda payload: chunked(payload).replace(b"\r\n", b";name=value\r\n", 1)),
    st.sampled_from([END, b"zz\r\n", b"1c\r\n", chunked(event("a"))[:-1], b"+5\r\nhello\r\n"]),
)


async def _received(kind: type[StampedProtocol], reads: list[bytes]) -> tuple[object, ...]:
    protocol, exchange = kind(asyncio.get_running_loop()), Exchange()
    protocol.connection_made(_Transport())
    protocol.send(exchange, b"", b"")
    for read in reads:
        protocol.data_received(read)
    if protocol.body is not None:
        aiohttp_protocol.take_out(protocol.body, exchange)
    instants = (exchange.headers, exchange.answered, exchange.end)
    failure = protocol.failure
    return exchange.body, list(exchange.read_size), [at is None for at in instants], type(failure), str(failure)


@settings(deadline=None)  # each example runs a loop twice
@given(frames=st.lists(FRAME, max_size=8), cuts=st.lists(st.integers(0, 40), max_size=6), at_frames=st.booleans())
def test_reads_that_are_whole_chunks_say_without_the_parser_what_they_say_through_it(
    *, frames: list[bytes], cuts: list[int], at_frames: bool
) -> None:
    """Whatever follows each other, and however the network cuts it: mostly between two chunks, as servers write."""
    reads = [HEAD, *frames]
    if not at_frames:
        whole = b"".join(reads)
        places = sorted({len(HEAD) + 7 * cut for cut in cuts})
        reads = [whole[start:stop] for start, stop in pairwise([0, *places, len(whole)]) if start < stop]
    both = [asyncio.run(_received(kind, reads)) for kind in (StampedProtocol, _Parsing)]
    assert both[0] == both[1]


def test_the_list_is_whole_and_no_other_module_has_private_parts_of_it() -> None:
    assert _private(MODULE) == set(PRIVATE)
    others = [path for path in Path(trie.__file__).parent.rglob("*.py") if path != MODULE]
    ours = {path.name: sorted(_private(path) & (set(PRIVATE) - {"_loop"})) for path in others if _imports_aiohttp(path)}
    assert {name: parts for name, parts in ours.items() if parts} == {}


def _private(path: Path) -> set[str]:
    """Attributes with a leading underscore that a module uses and does not make itself."""
    tree = ast.parse(path.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_private(node.attr)}
    made = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for init in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__"):
        made |= {node.attr for node in ast.walk(init) if isinstance(node, ast.Attribute) and _stored(node)}
    return used - made


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _stored(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store)


def _imports_aiohttp(path: Path) -> bool:
    return "import aiohttp" in path.read_text() or "from aiohttp" in path.read_text()
