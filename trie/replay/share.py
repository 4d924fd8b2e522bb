"""Which part of a run a process replays: every session and every slot belongs to one of them, whatever their number.

Slot k belongs to worker k mod N. Of N sessions in a row each worker has one, and which one is drawn: if the traces of
a workload take turns, such as long and short ones, each worker would have one kind alone otherwise, and no longer the
mix that one process replays. A session has the same number, prompts and server in every division of the same run, and
nobody has to be asked for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Share:
    """The part of worker `index` of `of` workers; by default the whole run."""

    index: int = 0
    of: int = 1

    def has(self, session_id: int) -> bool:
        """Whether a session is of this part; one that a slot begins with inside a trace goes with the slot instead."""
        turn, place = divmod(session_id, self.of)
        drawn = int.from_bytes(blake2b(b"%d" % turn, digest_size=4).digest())
        return (place + drawn) % self.of == self.index

    def below(self, end: int) -> range:
        """The slots of this part below a number; also this part's share of any number."""
        return range(self.index, end, self.of)


WHOLE = Share()
