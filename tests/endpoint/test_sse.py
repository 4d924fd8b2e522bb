"""The SSE decoder: every line end, every field, every split."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trie.endpoint.exchange import Exchange
from trie.endpoint.sse import Event, batches, decode


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
    found = [Event(*event) for batch in batches(body) for event in zip(*batch, strict=True)]
    assert found == list(decode(body))
