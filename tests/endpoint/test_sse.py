"""The SSE decoder: every line end, every field, every split."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trie.endpoint.exchange import Exchange
from trie.endpoint.sse import Aside, Event, batches, decode, is_stream, read


def datas(body: bytes) -> list[bytes]:
    return [event.data for event in decode(body)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\ndata: b\n\n", [b"\nb"]),
        (b": keep-alive\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 7\nretry: 1\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"database: a\n\n", []),
        (b"", []),
    ],
)
def test_events(body: bytes, expected: list[bytes]) -> None:
    assert datas(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n: ping\n\nid: 7\nretry: 1\nfoo: bar\n\n", []),
        (b"event: message\ndata: a\n\n", []),
        (b"event: error\ndata: a\ndata: b\n\n", [Aside(b"a\nb", is_error=True)]),
        (b"event: error\n: why\n\n", [Aside(b"why", is_error=True)]),
        (b"event: error\n\n", [Aside(b"", is_error=True)]),
        (b"event: error\nwhy\n\n", [Aside(b"why", is_error=True)]),
        (b"data: a\nerror: why\n\n", [Aside(b"why", is_error=True)]),
        (b"ERROR: why", [Aside(b"why", is_error=True)]),
        (b"Bad Gateway: why\nand how\n\n", [Aside(b"Bad Gateway: why", False), Aside(b"and how", False)]),
        (b"{oops\n\n", [Aside(b"{oops", is_error=False)]),
    ],
)
def test_what_stands_beside_the_data(body: bytes, expected: list[Aside]) -> None:
    assert [part for part in read(body) if isinstance(part, Aside)] == expected
    assert [aside for batch in batches(body) for aside in batch.asides] == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}\n\n', [b'{"a": 1}']),
        (b'{"a":\n 1}\n\n', [b'{"a":\n 1}']),
        (b'{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}']),
        (b'data: {"a": 1}\n{"a": 2}\n\n', [b'{"a": 1}', b'{"a": 2}']),
    ],
)
def test_json_without_data_before_it_is_an_event(body: bytes, expected: list[bytes]) -> None:
    assert datas(body) == expected


@pytest.mark.parametrize("body", [b"data: a", b"\n\ndata:", b"\xef\xbb\xbf: hello", b"event: x", b"error: x", b"id: 1"])
def test_a_stream_is_known_by_its_first_bytes(body: bytes) -> None:
    assert is_stream(body)


@pytest.mark.parametrize("body", [b"", b'{"data": 1}', b"<html>", b"database: x", b"Internal error: x"])
def test_what_is_no_stream_by_its_first_bytes(body: bytes) -> None:
    assert not is_stream(body)


def test_place_is_where_the_data_ends() -> None:
    body = b": ping\n\ndata: one\n\ndata: two\ndata: three\n\n"
    assert [body[: event.end][-5:] for event in decode(body)] == [b": one", b"three"]


def test_an_event_of_a_megabyte() -> None:
    assert datas(b"data: " + b"x" * (1 << 20) + b"\n\n") == [b"x" * (1 << 20)]


BODY = 'data: {"text": "é€🙂"}\r\n\r\n: note\n\ndata: b\n\n'.encode()


@pytest.mark.parametrize("cut", range(1, len(BODY)))
def test_split_at_every_byte_the_read_that_brought_an_event_is_found(cut: int) -> None:
    """Two reads at instants 1 and 2: an event arrived with the read that held its last data byte."""
    exchange = Exchange(read_at=array("d", [1.0, 2.0]), read_size=array("Q", [cut, len(BODY)]), pieces=[BODY])
    events = list(decode(exchange.body))
    assert [event.data for event in events] == ['{"text": "é€🙂"}'.encode(), b"b"]
    assert list(exchange.arrivals([event.end for event in events])) == [
        1.0 if event.end <= cut else 2.0 for event in events
    ]


@given(st.lists(st.binary(max_size=40).filter(lambda data: not set(data) & {10, 13}), max_size=8))
def test_what_was_written_is_read(events: list[bytes]) -> None:
    body = b"".join(b"data: " + data + b"\n\n" for data in events)
    assert datas(body) == events


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(body: bytes) -> None:
    for event in decode(body):
        assert 0 < event.end <= len(body)


STRETCH = st.sampled_from([b"data: a\n\n", b"data: \n\n", b"data: b\ndata: c\n\n", b": note\n\n", b"\n", b"data:x\n\n",
                           b"data: y\r\n\r\n", b"event: z\n", b"data: " + b"k" * 9000 + b"\n\n",
                           b"data: open"])  # fmt: skip


@given(st.lists(STRETCH, max_size=40).map(b"".join) | st.binary(max_size=200))
def test_batches_are_what_is_decoded_one_by_one(body: bytes) -> None:
    events = [Event(*event) for batch in batches(body) for event in zip(batch.data, batch.ends, strict=True)]
    assert events == list(decode(body))
