"""Server-sent events, pure: bytes of a whole stream in, events with their places in it out.

The place is what ties an event to the read of the socket that brought it, so decoding can wait until the clock of
a request has stopped, and does not depend on how the network cut the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE = re.compile(rb"[^\r\n]*")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event's data; other fields (event, id, retry) and comments carry nothing that is measured."""

    data: bytes  # data lines joined by LF
    end: int  # offset just past the last byte of the last data line: the event is known once this many bytes came


def decode(body: bytes) -> Iterator[Event]:
    """The events of a stream, with LF, CRLF or CR line ends.

    Data lines that the end of the stream leaves without their blank line still make an event: a server that closes
    right after its last line has said it. Whether that event is whole is for its reader to judge.
    """
    lines: list[bytes] = []
    end = 0
    for start, stop in _lines(body):
        if start == stop:
            if lines:
                yield Event(b"\n".join(lines), end)
                lines = []
        elif body.startswith(b"data:", start):
            at = start + 6 if body.startswith(b" ", start + 5) else start + 5
            lines.append(body[at:stop] if at < stop else b"")
            end = stop
        elif body[start:stop] == b"data":
            lines.append(b"")
            end = stop
    if lines:
        yield Event(b"\n".join(lines), end)


def _lines(body: bytes) -> Iterator[tuple[int, int]]:
    """Start and stop of each line without its end; an unfinished last line counts."""
    at = len(_BOM) if body.startswith(_BOM) else 0
    size = len(body)
    while at < size:
        match = _LINE.match(body, at)
        assert match is not None  # the pattern matches the empty string
        stop = match.end()
        yield at, stop
        at = stop + 2 if body.startswith(b"\r\n", stop) else stop + 1
