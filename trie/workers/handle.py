"""Both ends of the line between a coordinator and a worker, whatever it is made of: pipes, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from trie.workers.assignment import Assignment
from trie.workers.messages import Command, Message


class Handle(Protocol):
    """A worker as its coordinator has it."""

    @property
    def node(self) -> str:
        """The name of its machine."""

    @property
    def offset_s(self) -> float:
        """Its `perf_counter` less that of the coordinator at the same moment; 0 on one machine."""

    @property
    def clock(self) -> Mapping[str, Any] | None:
        """What the manifest states about the clock of another machine, see `HostClock`; None on this one."""

    def send(self, command: Command) -> None:
        """Give a command without waiting; nothing happens where the worker is gone."""

    async def receive(self) -> Message | None:
        """What the worker tells next; None once it is gone."""

    def kill(self) -> None:
        """End the worker at once; nothing happens where it is gone."""

    async def ending(self) -> str:
        """How a worker that is gone has ended, for people."""


class Channel(Protocol):
    """The coordinator as a worker has it."""

    def send(self, message: Message) -> None:
        """Tell something without waiting; nothing happens where the coordinator is gone."""

    async def receive(self) -> Command | None:
        """The next command; None once the coordinator is gone."""


# Starts a worker for each assignment, and ends those that are left, by force, when the block is left.
Placement = Callable[[Sequence[Assignment]], AbstractAsyncContextManager[Sequence[Handle]]]
