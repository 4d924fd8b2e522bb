"""A worker on a node of a Ray cluster, as its coordinator has it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from trie.cluster.clock_offset import ClockOffset, Ping, burst
from trie.cluster.remote_worker import Host, Reply
from trie.storage.record import INSTANTS
from trie.workers.messages import Begin, Command, Ended, Measure, Message, Rows
from trie.workers.stdio import unframed

if TYPE_CHECKING:
    import pyarrow as pa

ASK_EVERY_S = 0.25
SILENT_S = 2.0  # an actor that does not answer for so long is reported
LOST_S = 10.0  # and taken for dead after so long
MOST_WAITING = 256  # messages that are not written yet; then its worker is asked no further
_NAMES = ("class_name", "actor_id", "pid", "namespace", "ip")  # begin lines of Ray's errors
_ADVICE = ("Some common causes", "The task may or may not")  # and sentences
NEGLIGIBLE_S = 1e-6  # a clock that has drifted by less has not


class Actor(Protocol):
    """The methods of a `RemoteWorker` at the other end of a network."""

    def clock(self) -> Awaitable[float]:
        """See `RemoteWorker`."""

    def exchange(self, commands: Sequence[Command]) -> Awaitable[Reply]:
        """See `RemoteWorker`."""

    def kill(self) -> None:
        """End the actor at once, and its worker with it."""


class RayHandle:
    """Asks an actor four times a second what its worker tells, and follows its clock.

    Args:
        actor: on its node.
        index: of the worker.
        host: where that is.
        offset: of its clock, found by a burst of exchanges.
        failure: the error that says that an actor is gone.
        warn: of a node that is silent.
        silent_s: without an answer, after which it is.
        lost_s: without an answer, after which it is taken for dead.
    """

    def __init__(
        self,
        actor: Actor,
        index: int,
        host: Host,
        offset: ClockOffset,
        *,
        failure: type[Exception],
        warn: Callable[[str], None],
        silent_s: float = SILENT_S,
        lost_s: float = LOST_S,
    ) -> None:
        self.node = host.node
        self._actor, self._index = actor, index
        self._offset = offset
        self._failure = failure
        self._warn = warn
        self._silent_s, self._lost_s = silent_s, lost_s
        self._commands: list[Command] = []
        self._commanded = asyncio.Event()
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue(MOST_WAITING)
        self._ending = "it was never asked"
        self._begun_s = self._begun_offset_s = 0.0  # when the zero of its rows was given
        self._clock_facts: dict[str, float] = {}
        self._asking = asyncio.create_task(self._ask())

    @property
    def offset_s(self) -> float:
        """Its `perf_counter` less that of this process at the same moment."""
        return self._offset.at(perf_counter())

    @property
    def clock(self) -> Mapping[str, Any]:
        """How far its clock was ahead when the run began and at its end, as `HostClock` has it."""
        offset = self._offset
        followed = {"pings": offset.pings, "steps": offset.steps, "largest_step_s": offset.largest_step_s}
        return {**self._clock_facts, **followed}

    def send(self, command: Command) -> None:
        """Give a command without waiting."""
        if isinstance(command, Begin | Measure):
            self._begun_s, self._begun_offset_s = perf_counter(), self.offset_s
            self._clock_facts = self._measured("begin")
        self._commands.append(command)
        self._commanded.set()

    async def receive(self) -> Message | None:
        """What the worker tells next; None once it is gone."""
        return await self._messages.get()

    def kill(self) -> None:
        """End actor and worker at once."""
        self._actor.kill()

    async def ending(self) -> str:
        """How the worker has ended, for people."""
        await asyncio.wait([self._asking])
        return self._ending

    async def close(self) -> None:
        """End the actor, and the worker where it has not ended."""
        self._asking.cancel()
        await asyncio.wait([self._asking])
        self.kill()

    async def _ask(self) -> None:
        ending = None
        while ending is None:
            ending = await self._exchange()
            if ending is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._commanded.wait(), ASK_EVERY_S)
        self._ending = ending
        await self._messages.put(None)

    async def _exchange(self) -> str | None:
        """Ask once; returns how the worker has ended, if it has."""
        self._commanded.clear()
        commands, self._commands = self._commands, []
        sent_s = perf_counter()
        asked = asyncio.ensure_future(self._actor.exchange(commands))
        try:
            await self._wait_for(asked)
            if not asked.done():
                asked.cancel()
                self.kill()
                return f"its node has not answered for {self._lost_s:g} s"
            reply = asked.result()
        except self._failure as error:
            self.kill()  # Ray also says so of an actor that it can't reach
            return one_line(error)
        self._offset.add(Ping(sent_s, reply.clock_s, perf_counter()))
        for message in reply.messages:
            await self._hand_over(unframed(message))
        return reply.ending

    async def _wait_for(self, asked: asyncio.Future[Reply]) -> None:
        """Return when it is done, or lost."""
        await asyncio.wait([asked], timeout=self._silent_s)
        if not asked.done():
            self._warn(f"worker {self._index}: {self.node} has not answered for {self._silent_s:g} s")
            await asyncio.wait([asked], timeout=self._lost_s - self._silent_s)

    async def _hand_over(self, message: Message) -> None:
        if isinstance(message, Rows):
            message = Rows(moved(message.table, self._begun_offset_s - self.offset_s))
        elif isinstance(message, Ended):
            with suppress(self._failure, TimeoutError):  # all rows are here: a node that is gone now takes none along
                await asyncio.wait_for(burst(self._offset, self._actor.clock), self._lost_s)
            self._clock_facts |= self._measured("end")
            gained_s = self._clock_facts["offset_end_s"] - self._begun_offset_s
            self._clock_facts["drift"] = gained_s / (perf_counter() - self._begun_s)
        await self._messages.put(message)

    def _measured(self, when: str) -> dict[str, float]:
        now_s = perf_counter()
        return {f"offset_{when}_s": self._offset.at(now_s), f"error_{when}_s": self._offset.error_s(now_s)}


def moved(rows: pa.Table, seconds: float) -> pa.Table:
    """Rows with all instants later by so much; none of the run moves into its warm-up, before zero."""
    import pyarrow.compute as pc

    if abs(seconds) < NEGLIGIBLE_S:
        return rows
    for name in INSTANTS:
        column, instants = rows.schema.get_field_index(name), rows[name]
        later = pc.add(instants, seconds)
        later = pc.if_else(pc.greater_equal(instants, 0.0), pc.max_element_wise(later, 0.0, skip_nulls=False), later)
        rows = rows.set_column(column, rows.schema.field(column), later)
    return rows


def one_line(error: BaseException) -> str:
    """What Ray says of an actor or a cluster, without the lines of names and the advice.

    Of a traceback it is what was raised, and where.
    """
    if '  File "' in str(error):
        *_, raised = str(error).strip().splitlines()
        place = re.search(r"\bip=[\w.:]+", str(error))
        return raised[:300] + (f" ({place[0]})" if place else "")
    lines = [line.strip() for line in str(error).splitlines()]
    told = " ".join(line for line in lines if line and not line.startswith(_NAMES))
    sentences = (told or type(error).__name__).split(". ")
    kept = [sentence for sentence in sentences if not sentence.startswith(_ADVICE)][:3]
    return ". ".join(kept).rstrip(".")[:300]
