"""The page of a run that goes on, written again and again by a process of its own.

The client must not be late, so none of this happens in it. It sends the time of the run to the process, which reads the
rows on disk, writes the page and the numbers so far, and answers. Where the system has such a class, the process runs
only while nobody else wants the core.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from trie.child_process import child
from trie.errors import TrieError
from trie.replay.run_state import Clock
from trie.storage.manifest import End
from trie.storage.run_dir import LIVE, REPORT, RunDir, write_json

if TYPE_CHECKING:
    from trie.metrics.evaluate_run import EvaluatedRun
    from trie.report.html.document import Page

log = logging.getLogger("trie")
LONG_S, EVERY_S = 300.0, 30.0  # a run that is watched unless it was told otherwise, and how often
RUNNING = "running"  # as the end of a run that has none yet


def interval_s(live: float | None, duration_s: float) -> float:
    """Seconds between two versions of the page; 0 for none."""
    if live is not None:
        return live
    return EVERY_S if duration_s > LONG_S else 0.0


@asynccontextmanager
async def live_page(directory: Path, clock: Clock, every_s: float) -> AsyncIterator[None]:
    """Keep the page of the run in `directory` up to date while the block lasts."""
    if not every_s:
        yield
        return
    try:
        async with child("trie.report.live", str(directory), f"{every_s:g}") as process:
            task = asyncio.create_task(_ask(process, clock, every_s))
            try:
                yield
            finally:
                task.cancel()
    finally:
        _discard(directory)  # behind the process, which writes every file whole or not at all


def _discard(directory: Path) -> None:
    """Remove what is of use while a run goes on alone."""
    for left in (directory / LIVE, *directory.glob(f".{LIVE}.*.tmp")):
        with suppress(OSError):
            left.unlink(missing_ok=True)


async def _ask(process: asyncio.subprocess.Process, clock: Clock, every_s: float) -> None:
    """Tell the process the time of the run now and then, until it no longer answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    while True:
        await asyncio.sleep(every_s)
        with suppress(ConnectionError):
            process.stdin.write(f"{clock.now_s}\n".encode())
            await process.stdin.drain()
        if not await process.stdout.readline():
            *_, last = (await process.stderr.read()).decode("utf-8", "replace").splitlines() or ["it said nothing"]
            log.warning("the page of the run is written again at its end only: %s", last)
            return


def write_live(directory: Path, now_s: float, every_s: float) -> None:
    """The page and the numbers of a run that has gone on for `now_s` seconds.

    Raises:
        TrieError: when the rows can't be read, as in the moment in which parts are merged, or nothing can be written.
    """
    evaluated = evaluate_so_far(RunDir.open(directory), now_s)
    numbers = evaluated.summary.to_json()
    write_json(directory / LIVE, {**numbers, "valid": None, "wall_time_s": now_s})
    page_so_far(evaluated, every_s).write(directory / REPORT)


def evaluate_so_far(run: RunDir, now_s: float | None = None) -> EvaluatedRun:
    """A run that goes on, as if it had ended: after `now_s` seconds, or with its last row where that is not known.

    Raises:
        RunDirError: when it can't be read.
    """
    from trie.metrics.evaluate_run import evaluate  # numpy and pyarrow, not in the client
    from trie.metrics.summary import wall_time_of

    evaluated = evaluate(run)
    end_s = wall_time_of(evaluated.columns, evaluated.manifest) if now_s is None else now_s
    return replace(evaluated, manifest=replace(evaluated.manifest, end=End(reason=RUNNING, wall_time_s=end_s)))


def page_so_far(run: EvaluatedRun, every_s: float = EVERY_S) -> Page:
    """The page of a run that goes on, with how far it is in place of a verdict."""
    from trie.report.html.document import Verdict
    from trie.report.page import page_of

    page = page_of(run)
    now_s, duration_s = run.summary.wall_time_s, run.manifest.settings.duration
    so_far = f"{_clock(now_s)} of {_clock(duration_s)}; every number is of the requests that have ended so far"
    running = Verdict(word="RUNNING", tone="warn", detail=so_far)
    blocks = [running if isinstance(block, Verdict) else block for block in page.blocks]
    return replace(page, title=f"{page.title} (running)", blocks=blocks, refresh_s=every_s)


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def main() -> None:
    """Write for each line that comes, until no more do."""
    _give_way()
    directory, every_s = Path(sys.argv[1]), float(sys.argv[2])
    for line in sys.stdin:
        with suppress(TrieError):  # the next one will do
            write_live(directory, float(line), every_s)
        sys.stdout.write("\n")
        sys.stdout.flush()


def _give_way() -> None:
    """Run when nobody else wants the core."""
    with suppress(AttributeError, OSError):  # not there on every platform
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    main()
