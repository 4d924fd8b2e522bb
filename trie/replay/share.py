"""Which part of a run a process replays: every session and every slot belongs to one of them, whatever their number.

Session s and slot k belong to worker s mod N and k mod N. So a session has the same number, prompts and server in every
division of the same run, and nobody has to be asked for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """The part of worker `index` of `of` workers; by default the whole run."""

    index: int = 0
    of: int = 1

    def has(self, number: int) -> bool:
        """Whether a session or a slot with this number in the run is of this part."""
        return number % self.of == self.index

    def below(self, end: int) -> range:
        """The numbers of this part below one."""
        return range(self.index, end, self.of)


WHOLE = Share()
