"""Server-sent events, pure: bytes of a whole stream in, events with their places in it out.

The place is what ties an event to the read of the socket that brought it, so decoding can wait until the clock of
a request has stopped, and does not depend on how the network cut the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import NamedTuple

BATCH_BYTES = 1 << 15  # of a stream decoded in one go: about 0.1 ms with what is made of it
BATCH = 128  # events in one go where lines have to be looked at one by one

_LINE = re.compile(rb"[^\r\n]*")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event's data; other fields (event, id, retry) and comments carry nothing that is measured."""

    data: bytes  # data lines joined by LF
    end: int  # offset just past the last byte of the last data line: the event is known once this many bytes came


def batches(body: bytes) -> Iterator[tuple[list[bytes], list[int]]]:
    """What `decode` gives, as lists of data and of ends of at most some 32 kB each.

    A stretch that holds nothing but `data: ...` lines with a blank line behind each, which is how servers write, is cut
    in one go; anything else goes line by line.
    """
    at = 0
    while at < len(body):
        last = body.rfind(b"\n\n", at, at + BATCH_BYTES)
        if last < 0:  # an event that is longer
            last = body.find(b"\n\n", at)
        stop = last + 2
        block = body[at:stop] if last >= 0 else b""
        if not _is_regular(block):
            break
        events = block[:-2].split(b"\n\n")
        after = list(accumulate((len(event) + 2 for event in events), initial=at))
        yield [event[6:] for event in events], [end - 2 for end in after[1:]]
        at = stop
    rest = decode(body, at)
    while found := list(islice(rest, BATCH)):
        yield [event.data for event in found], [event.end for event in found]


def _is_regular(block: bytes) -> bool:
    """Whether each line begins with `data: `, and each second one is blank."""
    count = block.count(b"\n\n")
    return (
        block.startswith(b"data: ")
        and block.count(b"\n") == 2 * count
        and block.count(b"\n\ndata: ") == count - 1
        and b"\r" not in block
    )


def decode(body: bytes, at: int = 0) -> Iterator[Event]:
    """The events of a stream, with LF, CRLF or CR line ends, from a place between two events on.

    Data lines that the end of the stream leaves without their blank line still make an event: a server that closes
    right after its last line has said it. Whether that event is whole is for its reader to judge.
    """
    lines: list[bytes] = []
    end = 0
    for start, stop in _lines(body, at):
        if start == stop:
            if lines:
                yield Event(b"\n".join(lines), end)
                lines = []
        elif body.startswith(b"data:", start):
            value = start + 6 if body.startswith(b" ", start + 5) else start + 5
            lines.append(body[value:stop] if value < stop else b"")
            end = stop
        elif body[start:stop] == b"data":
            lines.append(b"")
            end = stop
    if lines:
        yield Event(b"\n".join(lines), end)


def _lines(body: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Start and stop of each line without its end; an unfinished last line counts."""
    at = at or (len(_BOM) if body.startswith(_BOM) else 0)
    size = len(body)
    while at < size:
        match = _LINE.match(body, at)
        assert match is not None  # the pattern matches the empty string
        stop = match.end()
        yield at, stop
        at = stop + 2 if body.startswith(b"\r\n", stop) else stop + 1
