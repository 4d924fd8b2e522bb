"""The start of a run in virtual time: slots begin in steps, and a warm-up ends when the last of them has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from trie.config import RunConfig, Start
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
        self._warms_up = config.start is Start.stationary
        self._begin = begin
        self._awaited: list[OpenRequest] = []

    @property
    def over(self) -> bool:
        """Whether all slots have begun, and nothing is waited for."""
        return not self._steps and not self._awaited

    def go_on(self) -> None:
        """Take the next step, if it is time."""
        self._awaited = [request for request in self._awaited if not self._has_token(request)]
        if not self._awaited and self._steps:
            begun = (self._begin(slot) for slot in self._steps.popleft())
            requests = [request for request in begun if request is not None]
            self._awaited = requests if self._steps or self._warms_up else []

    def _has_token(self, request: OpenRequest) -> bool:
        return request.closed or (self._stream and request.job is not None and request.job.generated > 0)
