"""The end of a run by `stop_when`: looks at the run so far, by a process of its own or between two virtual instants.

The client must not be late, so in real time nothing of this happens in it. It sends the time of the run to the process,
which reads the rows on disk and answers how sure the metrics are. A process that fails ends nothing: the run goes on to
its deadline.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trie.child_process import child
from trie.config.stop_when import SLO
from trie.errors import TrieError
from trie.replay.counters import Counters
from trie.replay.run_state import Clock

if TYPE_CHECKING:
    from trie.metrics.slo.stop import SloLook
    from trie.metrics.stop_rule import Look

log = logging.getLogger("trie")
FIRST_S = 60.0  # when a run is looked at first
PRECISE = "precise"  # why a run ended
AGAIN_S = 5.0  # after a look at files that were just being merged


class Watched(Protocol):
    """A run that goes on."""

    @property
    def clock(self) -> Clock: ...

    @property
    def counters(self) -> Counters: ...


@asynccontextmanager
async def watched(
    directory: Path, state: Watched, expression: str | None, duration_s: float, stop: Callable[[str], None]
) -> AsyncIterator[None]:
    """Look at the run in `directory` while the block lasts, and stop it once it is precise."""
    if expression is None:
        yield
        return
    async with child("trie.replay.precision", str(directory), expression, f"{duration_s:g}") as process:
        task = asyncio.create_task(_ask(process, state, stop))
        try:
            yield
        finally:
            task.cancel()  # the process, which writes nothing, is killed behind it


async def _ask(process: asyncio.subprocess.Process, state: Watched, stop: Callable[[str], None]) -> None:
    """Tell the process the time of the run whenever it wants to look, until the run is precise."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    next_s = FIRST_S
    while True:
        await asyncio.sleep(next_s - state.clock.now_s)
        with suppress(ConnectionError):
            process.stdin.write(f"{state.clock.now_s}\n".encode())
            await process.stdin.drain()
        answer = await process.stdout.readline()
        if not answer:
            *_, last = (await process.stderr.read()).decode("utf-8", "replace").splitlines() or ["it said nothing"]
            log.warning("stop_when is no longer looked at, the run goes on to its deadline: %s", last)
            return
        said = json.loads(answer)
        state.counters.precision, next_s = said["line"], said["next_s"]
        if said["precise"]:
            stop(PRECISE)
            return


def look_at(directory: Path, expression: str, now_s: float) -> Look | SloLook:
    """How sure the metrics of a run are that has gone on for `now_s` seconds.

    Raises:
        TrieError: when the rows can't be read, as in the moment in which parts are merged.
    """
    from trie.metrics.evaluate_run import evaluate  # numpy and pyarrow, not in the client
    from trie.metrics.slo.expression import parse_all
    from trie.metrics.slo.of_run import run_of
    from trie.metrics.slo.stop import slo_look
    from trie.metrics.stop_rule import certainty_of, facts_of, look
    from trie.storage.run_dir import RunDir

    run = evaluate(RunDir.open(directory))
    settings = run.manifest.settings
    so_far = certainty_of(run.columns, run.population, now_s, facts_of(settings))
    if expression.strip() == SLO:
        facts = run_of(run.columns, so_far, now_s, stream=settings.stream)
        return slo_look(facts, parse_all(settings.slo), now_s)
    return look(expression, so_far, now_s)


def main() -> None:
    """Answer each line that comes, until no more do."""
    with suppress(OSError):
        os.nice(19)
    directory, expression, duration_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    for line in sys.stdin:
        now_s = float(line)
        answer = {"line": "", "precise": False, "next_s": now_s + AGAIN_S}
        with suppress(TrieError):  # the next one will do
            seen = look_at(directory, expression, now_s)
            answer = {"line": seen.line(duration_s), "precise": seen.precise, "next_s": seen.next_s}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
