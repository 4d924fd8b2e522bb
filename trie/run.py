"""The composition root: one run from its settings to its summary, put together here and only here."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from trie.cluster.places import Places, placed
from trie.config import Clock, RunConfig
from trie.endpoint.request_body import REASONING
from trie.engines.counters import Meter
from trie.errors import ReportError
from trie.metrics import stop_rule
from trie.metrics.certainty.population import Population
from trie.metrics.checks.circumstances import LIMITS
from trie.metrics.evaluate_run import EvaluatedRun, evaluate
from trie.metrics.slo.expression import parse_all
from trie.metrics.summary import Summary
from trie.preflight.limits import allow_open_files, connections_of
from trie.preflight.new_manifest import new_manifest
from trie.preflight.steps import Prepared, prepared
from trie.preflight.virtual import prepared_virtually
from trie.replay import precision, scheduler
from trie.replay.event_loop import in_loop
from trie.replay.run_state import CANCELLED
from trie.replay.scheduler import Scheduler
from trie.replay.virtual_run import VirtualRun
from trie.report.live import interval_s, live_page
from trie.report.page import write_page
from trie.report.progress import Watched, shown
from trie.report.terminal import complete_line, render, starting_line
from trie.signals import Signals, handled
from trie.storage.manifest import End, EngineGrowth, Manifest
from trie.storage.parquet_parts import PartsWriter, warm_up
from trie.storage.repository import state as repository_state
from trie.storage.row_writer import RowWriter
from trie.storage.run_dir import REQUESTS, RunDir
from trie.storage.run_lock import going_on
from trie.storage.typed_json import decode
from trie.workers.assignment import assignments
from trie.workers.coordinator import WORKERS_DIED, Coordinator
from trie.workload.load import describe
from trie.workload.load import load as load_workload
from trie.workload.trace import Workload

if TYPE_CHECKING:
    import pandas as pd

Replay = Scheduler | Coordinator

log = logging.getLogger("trie")
INTERRUPTED, ENDPOINT_DIED = "interrupted", "endpoint_died"  # why a run ended, beside its deadline


@dataclass(frozen=True)
class Result:
    """A finished run; `trie.load(result.directory)` has its traces and plots."""

    directory: Path
    summary: Summary
    manifest: Manifest

    def __repr__(self) -> str:
        return f"Result({str(self.directory)!r}, {'VALID' if self.summary.valid else 'INVALID'})"

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row for each request that started, as docs/notebook.md has them."""
        return evaluate(RunDir.open(self.directory)).frame()

    def show(self, console: Console | None = None) -> None:
        """Print the tables and the verdict."""
        render(self.summary, self.manifest, console or Console())

    @property
    def interrupted(self) -> bool:
        return self._end.reason == INTERRUPTED

    @property
    def endpoint_died(self) -> str | None:
        """How the embedded endpoint ended in mid-run, for people; None when it did not."""
        return self._end.detail if self._end.reason == ENDPOINT_DIED else None

    @property
    def workers_died(self) -> bool:
        """Not one of several workers lived to the end."""
        return self._end.reason == WORKERS_DIED

    @property
    def stopped(self) -> str | None:
        """Which limit on failures ended the run early, if one did."""
        return self._end.reason if self._end.reason in LIMITS else None

    @property
    def all_failed(self) -> bool:
        """Requests were made, and not one of them ended well."""
        return not self.summary.requests["ok"] and self.summary.requests["failed"] > 0

    @property
    def _end(self) -> End:
        assert self.manifest.end is not None  # a finished run
        return self.manifest.end


def execute(
    config: RunConfig,
    directory: Path,
    *,
    api_key: str | None = None,
    workload: Workload | None = None,
    experiments: Path | None = None,
    position: str = "",
) -> Result:
    """Run in an event loop of its own; SIGINT and SIGTERM end the run in order, a second one at once.

    `position` is that of the run in its sweep, as people read it.

    Raises:
        TrieError: for what the user can mend.
        KeyboardInterrupt: for a signal before or after the replay, and for a second one.
    """

    async def with_signals() -> Result:
        with handled() as signals:
            return await execute_async(
                config,
                directory,
                api_key=api_key,
                workload=workload,
                experiments=experiments,
                signals=signals,
                position=position,
            )

    try:
        return in_loop(with_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def execute_async(
    config: RunConfig,
    directory: Path,
    *,
    api_key: str | None = None,
    workload: Workload | None = None,
    experiments: Path | None = None,
    signals: Signals | None = None,
    position: str = "",
) -> Result:
    """Run inside a loop; `workload` is used instead of the one that the settings name.

    `experiments` is a folder of the repository whose commit the manifest states; None: where the process stands.

    Raises:
        TrieError: for what the user can mend.
    """
    parse_all(config.slo)
    if config.stop_when is not None:
        stop_rule.check(config.stop_when)
    if workload is None:
        workload = await asyncio.to_thread(load_workload, config.workload)
    log.info("workload %s", describe(workload))
    if config.clock is Clock.virtual:
        return await _simulate(config, directory, workload, experiments=experiments, signals=signals)
    death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with (
        placed(config) as places,
        prepared(config, workload, api_key=api_key, on_death=death.set_result) as ready,
    ):
        config = ready.config
        allow_open_files(config.slots, connections_of(config, workload), workers=places.count)
        repository = await asyncio.to_thread(repository_state, experiments or Path.cwd(), directory)
        run, writer = RunDir.create(directory)
        manifest = new_manifest(ready, repository)
        run.write_manifest(manifest)
        await asyncio.to_thread(_write_population, run, ready)
        log.info(starting_line(manifest))
        replay, meter = _replay_of(ready, run, writer, places, api_key), Meter(config.endpoint, ready.beside)
        every_s = interval_s(config.live, config.duration) if config.html else 0.0
        try:
            with going_on(directory):
                await asyncio.to_thread(warm_up)  # imports hold the interpreter's lock: none while the clock runs
                await meter.start()
                looks = precision.watched(directory, replay, config.stop_when, config.duration, replay.stop)
                async with live_page(directory, replay.clock, every_s), looks:
                    reason = await _replay(replay, config, signals=signals, death=death, position=position)
        except asyncio.CancelledError:
            run.write_manifest(replace(manifest, end=_end(replay, replay.stop_reason or CANCELLED, death)))
            raise
        end = _end(replay, reason, death)
        run.write_manifest(replace(manifest, end=end))
        growth = await meter.end()
        manifest = replace(manifest, end=replace(end, engine=None if growth is None else decode(EngineGrowth, growth)))
        run.write_manifest(manifest)
    return Result(directory, await asyncio.to_thread(_report, run, html=config.html), manifest)


async def _simulate(
    config: RunConfig, directory: Path, workload: Workload, *, experiments: Path | None, signals: Signals | None
) -> Result:
    """The same run in virtual time: the embedded endpoint's model instead of a server."""
    async with prepared_virtually(config, workload) as ready:
        repository = await asyncio.to_thread(repository_state, experiments or Path.cwd(), directory)
        run, writer = RunDir.create(directory)
        manifest = new_manifest(ready, repository)
        run.write_manifest(manifest)
        await asyncio.to_thread(_write_population, run, ready)
        log.info(starting_line(manifest))
        virtual = VirtualRun(ready, writer)
        with signals.replaying(lambda: virtual.stop(INTERRUPTED)) if signals else nullcontext():
            try:
                await virtual.run()
            finally:
                if virtual.ended:
                    manifest = replace(manifest, end=decode(End, virtual.facts()))
                    run.write_manifest(manifest)
    return Result(directory, await asyncio.to_thread(_report, run, html=config.html), manifest)


def _write_population(run: RunDir, ready: Prepared) -> None:
    population = Population.of(ready.workload.traces, reasoning_back=ready.config.history == REASONING)
    run.write_population(population.table())


def _report(run: RunDir, *, html: bool) -> Summary:
    """Every number of a run that has ended, from its files and into them."""
    evaluated = evaluate(run)
    run.write_summary(evaluated.summary.to_json())
    log.info(complete_line(evaluated.summary))
    if html:
        _write_page(evaluated)
    return evaluated.summary


def _write_page(evaluated: EvaluatedRun) -> None:
    """The page beside the numbers, which stand without it."""
    try:
        log.info("report %s", write_page(evaluated))
    except ReportError as error:
        log.warning("%s", error)


def _replay_of(ready: Prepared, run: RunDir, writer: PartsWriter, places: Places, api_key: str | None) -> Replay:
    """Who replays the run: this process, or several others."""
    if places.here and places.count == 1:
        return scheduler.build(ready, RowWriter(writer))
    rows = run.path / REQUESTS
    shares = assignments(ready, places.count, api_key=api_key, requests=rows if places.here else None)
    return Coordinator(ready.config, shares, places.place, rows)


async def _replay(
    replay: Replay, config: RunConfig, *, signals: Signals | None, death: asyncio.Future[str], position: str
) -> str:
    """Replay to the end, whatever ends it; returns why it ended."""
    async with replay:
        death.add_done_callback(lambda _: replay.stop(ENDPOINT_DIED))
        with signals.replaying(lambda: replay.stop(INTERRUPTED)) if signals else nullcontext():
            slots = 1 if config.load.is_open else config.slots
            watched = Watched(replay.counters, replay.clock, config.duration, slots, position)
            async with shown(watched, config.progress):
                return await replay.run()


def _end(replay: Replay, reason: str, death: asyncio.Future[str]) -> End:
    """The manifest's `end` of a replay that has ended."""
    detail = death.result() if reason == ENDPOINT_DIED else replay.counters.precision or None
    return decode(End, {"reason": reason, "detail": detail, **replay.facts()})
