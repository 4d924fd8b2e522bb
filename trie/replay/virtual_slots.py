"""Which session each slot of a run in virtual time takes, and when: the load's shape, without a clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from trie.config import RunConfig
from trie.replay.places import Places
from trie.replay.session_order import PlannedSession, SessionOrder
from trie.replay.virtual_request import OpenRequest
from trie.replay.virtual_start import VirtualStart

At = Callable[[float, Callable[[Any], None], Any], None]
Begin = Callable[[int, PlannedSession], OpenRequest]


class VirtualSlots:
    """Lets sessions begin.

    Args:
        config: of the run.
        sessions: in their order.
        at: calls a function with an argument at an instant.
        begin: lets a session begin now, and returns its first request.
    """

    def __init__(self, config: RunConfig, sessions: SessionOrder, *, at: At, begin: Begin) -> None:
        self.draining = False
        self._config = config
        self._sessions = sessions
        self._at, self._begin_session = at, begin
        self._slots = config.slots
        self._level = self._slots  # slots from this one on begin nothing
        self._levels = list(config.load.levels) if config.load.shape == "ramp" else []
        self._retired: set[int] = set()
        self._idle = 0  # slots for which there was no session
        self._active = 0  # sessions
        self.begun = 0  # sessions
        self._places = Places(self._slots)
        self._waiting: deque[PlannedSession] = deque()  # due, without a slot
        self._open = config.load.is_open
        self._all_due = not self._open
        self.start = VirtualStart(config, self._first)

    def begin(self) -> None:
        """The first sessions, at instant 0."""
        if self._open:
            self._await_next()
        elif self._levels:
            self._retired = set(range(self._slots))
            self._take_level(0)
        else:
            self.start.go_on()

    @property
    def over(self) -> bool:
        """Whether no session is active, and none will begin."""
        if self._active:
            return False
        if self.draining:
            return True
        if self._open:
            return self._all_due and not self._waiting
        return not self._levels and self._idle + len(self._retired) == self._slots

    def ended(self) -> None:
        """A session has ended; its slot goes on with `next`, now or later."""
        self._active -= 1

    def next(self, slot: int) -> None:
        """A slot is free."""
        if self.draining:
            return
        if self._open:
            self._give(slot)
        elif slot >= self._level:
            self._retired.add(slot)
        else:
            self._take(slot, self._sessions.next())

    def _first(self, slot: int) -> OpenRequest | None:
        return self._take(slot, self._sessions.first(slot))

    def _take(self, slot: int, planned: PlannedSession | None) -> OpenRequest | None:
        if planned is None:
            self._idle += 1
            self.start.leave(slot)
            return None
        self._active += 1
        self.begun += 1
        return self._begin_session(slot, planned)

    def _await_next(self) -> None:
        """The next session of an open load will be due."""
        planned = self._sessions.next()
        if planned is None:
            self._all_due = True
        else:
            assert planned.due_s is not None
            self._at(planned.due_s, self._arrive, planned)

    def _arrive(self, planned: PlannedSession) -> None:
        if self.draining:
            return
        slot = self._places.take()
        if slot is None:
            self._waiting.append(planned)
        else:
            self._take(slot, planned)
        self._await_next()

    def _give(self, slot: int) -> None:
        if self._waiting:
            self._take(slot, self._waiting.popleft())
        else:
            self._places.give_back(slot)

    def _take_level(self, number: int) -> None:
        """The next level of a ramp holds: slots begin, or end with their sessions."""
        if self.draining:
            return
        self._level = self._levels.pop(0)
        for slot in sorted(slot for slot in self._retired if slot < self._level):
            self._retired.remove(slot)
            self._take(slot, self._sessions.first(slot))
        if self._levels:
            levels = len(self._config.load.levels)
            self._at((number + 1) * self._config.duration / levels, self._take_level, number + 1)
