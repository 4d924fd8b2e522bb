"""What one attempt at a request looked like from the socket: instants, bytes and how it ended.

Filled in by `trie.endpoint.connection` while the clock runs; read only after it has stopped.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import gt, le

STALE_AFTER_S = 0.5  # no server closes a connection that was idle for less


@dataclass(slots=True)
class Exchange:
    """One attempt. Instants are `time.perf_counter()` seconds; None means not reached."""

    sent: float | None = None  # first byte handed to the socket
    headers: float | None = None  # read that completed the response's headers
    answered: float | None = None  # read that brought the [DONE] of a stream
    end: float | None = None  # that one, else the read that completed the body, or the failure
    status: int | None = None
    content_type: str = ""
    retry_after_s: float | None = None
    worker: str | None = None  # what the header says that names the worker behind a router
    location: str = ""  # where a redirect points, without its query
    head: Mapping[str, str] = field(default_factory=dict)  # the response's headers
    idle_s: float = 0.0  # how long the connection had lain idle since an earlier request; 0 for a fresh one
    error_kind: str | None = None  # of the transport: nothing here judges what the body says
    error: str | None = None
    # One entry for each read of the socket that brought body bytes: when, and the body's size after it.
    read_at: array[float] = field(default_factory=lambda: array("d"))
    read_size: array[int] = field(default_factory=lambda: array("Q"))
    pieces: list[bytes] = field(default_factory=list)  # the body as far as it was taken out of the stream

    @property
    def body(self) -> bytes:
        """The body as received, decompressed."""
        if len(self.pieces) > 1:
            self.pieces[:] = [b"".join(self.pieces)]
        return self.pieces[0] if self.pieces else b""

    @property
    def stale(self) -> bool:
        """The server closed a kept-alive connection just as it was used again: no answer, and nobody's fault."""
        return self.error_kind == "disconnected" and (self.idle_s > STALE_AFTER_S or self.unused)

    @property
    def unused(self) -> bool:
        """A kept-alive connection was found closed, or spoken on unasked, before anything was sent on it."""
        return self.sent is None and self.idle_s > 0

    def arrivals(self, places: Sequence[int]) -> Sequence[float]:
        """The instants of the reads that brought the bytes number `places` (rising, counted from 1) of the body."""
        size = self.read_size
        first, last = bisect_left(size, places[0]), bisect_left(size, places[-1])
        if (
            last - first + 1 == len(places)
            and all(map(le, places, size[first:]))
            and all(map(gt, places[1:], size[first:]))
        ):
            return self.read_at[first : last + 1]  # each read brought one: the usual case, at a tenth of the cost
        return [self.read_at[bisect_left(size, place)] for place in places]
