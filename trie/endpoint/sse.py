"""Server-sent events, pure: bytes of a whole stream in, events with their places in it out.

The place is what ties an event to the read of the socket that brought it, so decoding can wait until the clock of
a request has stopped, and does not depend on how the network cut the stream.

Whatever a stream carries beside its `data:` lines is looked at too: servers say there why they gave up. JSON that
stands on lines of its own is an event like any other; errors and plain text are asides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from operator import add
from typing import NamedTuple

import orjson

BATCH_BYTES = 1 << 15  # of a stream decoded in one go: about 0.1 ms with what is made of it
BATCH = 128  # events in one go where lines have to be looked at one by one

_LINE = re.compile(rb"[^\r\n]*")
_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(rb"([\w.-]*):")  # a line's name; that of a comment is empty
_ORDINARY = (b":", b"id:", b"retry:")
_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry|error)?:")
_FAILED = re.compile(rb"error|fail|exception|abort|cancel", re.IGNORECASE)  # in the name of an event or a field


class Event(NamedTuple):
    """One event's data; ids, times and comments carry nothing that is measured."""

    data: bytes  # data lines joined by LF
    end: int  # offset just past the last byte of the last data line: the event is known once this many bytes came


class Aside(NamedTuple):
    """What a stream says beside its data."""

    text: bytes  # empty: an error without words
    is_error: bool  # the server calls it one; otherwise it is text that nobody gave a name


class Batch(NamedTuple):
    """Neighbouring events, and what stands between them."""

    data: list[bytes]
    ends: list[int]
    asides: Sequence[Aside] = ()


def is_stream(body: bytes) -> bool:
    """Whether a body is a stream of events by its first bytes, whatever its label says."""
    return _STREAM.match(body) is not None


def batches(body: bytes) -> Iterator[Batch]:
    """The events of a stream and its asides, at most some 32 kB at a time.

    A stretch that holds nothing but `data: ...` lines with a blank line behind each, which is how servers write, is cut
    in one go; anything else goes line by line.
    """
    at = 0
    while at < len(body):
        last = body.rfind(b"\n\n", at, at + BATCH_BYTES)
        if last < 0:  # an event that is longer
            last = body.find(b"\n\n", at)
        stop = last + 2
        data = _regular(body[at:stop]) if last >= 0 else None
        if data is None:
            break
        # An event ends behind all data up to it, the 6 bytes of its name, and 8 for each event before.
        yield Batch(data, list(map(add, accumulate(map(len, data)), range(at + 6, at + 6 + 8 * len(data), 8))))
        at = stop
    rest = read(body, at)
    while parts := list(islice(rest, BATCH)):
        whole = [part for part in parts if isinstance(part, Event)]
        asides = [part for part in parts if isinstance(part, Aside)]
        yield Batch([event.data for event in whole], [event.end for event in whole], asides)


def _regular(block: bytes) -> list[bytes] | None:
    """The data of each event where each line begins with `data: ` and each second one is blank; else None."""
    if not block.startswith(b"data: ") or b"\r" in block:
        return None
    data = block[6:-2].split(b"\n\ndata: ")
    return data if block.count(b"\n") == 2 * len(data) else None  # or a line is cut that is no blank one


def decode(body: bytes) -> Iterator[Event]:
    """The events of a stream without its asides."""
    return (part for part in read(body) if isinstance(part, Event))


def read(body: bytes, at: int = 0) -> Iterator[Event | Aside]:
    """All that a stream says, with LF, CRLF or CR line ends, from a place between two events on.

    Lines that the end of the stream leaves without their blank line still make an event: a server that closes right
    after its last line has said it. Whether that event is whole is for its reader to judge.
    """
    lines: list[bytes] = []
    others: list[tuple[bytes, int]] = []
    end = 0
    for start, stop in _lines(body, at):
        if start == stop:
            yield from _close(lines, others, end)
            lines, others = [], []
        elif body.startswith(b"data:", start):
            value = start + 6 if body.startswith(b" ", start + 5) else start + 5
            lines.append(body[value:stop] if value < stop else b"")
            end = stop
        elif body[start:stop] == b"data":
            lines.append(b"")
            end = stop
        else:
            others.append((body[start:stop], stop))
    yield from _close(lines, others, end)


def _close(lines: list[bytes], others: list[tuple[bytes, int]], end: int) -> Iterator[Event | Aside]:
    """What one event's lines say: those of its data, which end at `end`, and the others with the end of each."""
    if all(_says_nothing(line) for line, _ in others):
        if lines:
            yield Event(b"\n".join(lines), end)
        return
    fields: dict[bytes, list[bytes]] = {}
    texts: list[tuple[bytes, int]] = []
    for line, stop in others:
        named = _FIELD.match(line)
        if named is None:
            texts.append((line, stop))
        else:
            fields.setdefault(named[1], []).append(line[named.end() :].strip())
    comments, names = fields.pop(b"", []), fields.pop(b"event", [])
    errors = [b"\n".join(values) for name, values in fields.items() if _FAILED.search(name)]
    if _FAILED.search(b"".join(names)):
        words = lines or errors or [text for text, _ in texts] or comments
        yield Aside(b"\n".join(words), is_error=True)
        return
    for error in errors:
        yield Aside(error, is_error=True)
    events = [Event(b"\n".join(lines), end)] if lines else []
    whole = Event(b"\n".join(text for text, _ in texts), texts[-1][1] if texts else end)
    if _is_json(whole.data):
        events.append(whole)
    else:
        events += (Event(*text) for text in texts if _is_json(text[0]))
        yield from (Aside(text, is_error=False) for text, _ in texts if not _is_json(text))
    yield from sorted(events, key=lambda event: event.end)


def _says_nothing(line: bytes) -> bool:
    """Whether a line beside the data is one of those that streams are full of."""
    return line.startswith(_ORDINARY) or (line.startswith(b"event:") and _FAILED.search(line) is None)


def _is_json(text: bytes) -> bool:
    if not text.lstrip().startswith(b"{"):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


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
