"""The start of a run in virtual time: slots begin in steps, and a warm-up ends when the last of them has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from trie.config import RunConfig
from trie.replay.start import steps
from trie.replay.virtual_request import OpenRequest


class VirtualStart:
    """Lets slots begin, the next step of them when each request of the last one has its first token.

    Args:
        config: of the run.
        begin: lets a slot begin, and returns its first request; None where there is no session for it.
    """

    def __init__(self, config: RunConfig, begin: Callable[[int], OpenRequest | None]) -> None:
        closed = config.load.shape == "closed"  # others begin when it is time
        self._steps = deque(steps(config.start, config.slots) if closed else ())
        self._stream = config.stream
        self._warms_up = config.warms_up
        self._more = config.warm_up_per_slot
        self._begin = begin
        self._awaited: list[OpenRequest] = []
        self._slots: dict[int, list[OpenRequest]] = {}  # what each has made in a warm-up
        self.over = not self._steps  # all slots have begun, and nothing is waited for

    def note(self, request: OpenRequest) -> None:
        """A slot makes a request."""
        if self._warms_up:
            self._slots.setdefault(request.session.slot, []).append(request)

    def leave(self, slot: int) -> None:
        """There is no session for a slot any more."""
        self._slots.pop(slot, None)

    def go_on(self) -> None:
        """Take the next step, if it is time."""
        self._awaited = [request for request in self._awaited if not self._has_token(request)]
        if self._awaited:
            return
        if self._steps:
            begun = (self._begin(slot) for slot in self._steps.popleft())
            self._awaited = [request for request in begun if request is not None]
            self.over = not self._steps and not self._warms_up
            return
        self.over = all(len(made) > self._more and self._has_token(made[self._more]) for made in self._slots.values())

    def _has_token(self, request: OpenRequest) -> bool:
        return request.closed or (self._stream and request.job is not None and request.job.generated > 0)
