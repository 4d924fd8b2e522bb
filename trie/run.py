"""The composition root: one run from its settings to its summary, put together here and only here."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from trie import manifest as facts
from trie.config import PromptForm, RunConfig
from trie.endpoint.connection import Connections
from trie.endpoint.conversation import RECORDED, RequestFormat
from trie.endpoint.idle import Readiness, reset_cache, wait_until_idle
from trie.endpoint.probe import ServerFacts, choose_model, probe
from trie.errors import ReportError
from trie.evaluated import Evaluated
from trie.metrics.summary import SUSPECT_LAG_S, Summary
from trie.metrics.verdict import LIMITS
from trie.preflight import allow_open_files, fitting
from trie.prompts.calibration import Calibration
from trie.prompts.maker import Prompts
from trie.prompts.maker import load as load_prompts
from trie.prompts.script import Script
from trie.records import warm_up
from trie.replay.backoff import Backoff
from trie.replay.engine import Engine
from trie.replay.health import LoopHealth
from trie.replay.live import Live
from trie.replay.proof import prove
from trie.replay.recorder import Recorder
from trie.replay.request import Requester
from trie.replay.scripts import ScriptsAhead
from trie.replay.setting import Setting
from trie.replay.turns import Turns
from trie.replay.watch import FailureWatch
from trie.report.progress import follow
from trie.report.tables import complete_line, render, starting_line
from trie.repository import state as repository_state
from trie.rundir import RunDir
from trie.signals import Signals, handled
from trie.sim.process import embedded
from trie.trace import Trace, Workload
from trie.workload.sources import describe
from trie.workload.sources import load as load_workload

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

log = logging.getLogger("trie")
INTERRUPTED, ENDPOINT_DIED = "interrupted", "endpoint_died"  # why a run ended, beside its deadline
EXTRA_SCRIPTS = 8  # kept ready beyond one for each slot


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run."""

    directory: Path
    summary: Summary
    manifest: Mapping[str, Any]

    @property
    def rows(self) -> pd.DataFrame:
        """One row for each request that started; columns as docs/records.md has them, and `suspect` beside them."""
        frame: pd.DataFrame = RunDir.open(self.directory).records().to_pandas()
        return frame.assign(suspect=frame.loop_lag_s > SUSPECT_LAG_S)

    def show(self, console: Console | None = None) -> None:
        """Print the tables and the verdict."""
        render(self.summary, self.manifest, console or Console())

    @property
    def interrupted(self) -> bool:
        return bool(self.manifest["end"]["reason"] == INTERRUPTED)

    @property
    def endpoint_died(self) -> str | None:
        """How the embedded endpoint ended in mid-run, for people; None when it did not."""
        end = self.manifest["end"]
        return str(end["detail"]) if end["reason"] == ENDPOINT_DIED else None

    @property
    def stopped(self) -> str | None:
        """Which limit on failures ended the run early, if one did."""
        reason = self.manifest["end"]["reason"]
        return reason if reason in LIMITS else None

    @property
    def all_failed(self) -> bool:
        """Requests were made, and not one of them ended well."""
        return not self.summary.requests["ok"] and self.summary.requests["failed"] > 0


def execute(
    config: RunConfig, directory: Path, *, api_key: str | None = None, experiments: Path | None = None
) -> Result:
    """Run in an event loop of its own; SIGINT and SIGTERM end the run in order, a second one at once.

    Raises:
        TrieError: for what the user can mend.
        KeyboardInterrupt: for a signal before or after the replay, and for a second one.
    """

    async def with_signals() -> Result:
        with handled() as signals:
            return await execute_async(config, directory, api_key=api_key, experiments=experiments, signals=signals)

    try:
        return in_loop(with_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def in_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own, the fastest there is here."""
    runner = asyncio.run
    with suppress(ImportError):
        import uvloop  # noqa: PLC0415 - not there on every platform

        runner = uvloop.run
    return runner(main)


async def execute_async(
    config: RunConfig,
    directory: Path,
    *,
    api_key: str | None = None,
    workload: Workload | None = None,
    experiments: Path | None = None,
    signals: Signals | None = None,
) -> Result:
    """Run inside a loop; `workload` is used instead of the one that the settings name.

    `experiments` is a folder of the repository whose commit the manifest states; None: where the process stands.

    Raises:
        TrieError: for what the user can mend.
    """
    if workload is None:
        workload = await asyncio.to_thread(load_workload, config.workload)
    log.info("workload %s", describe(workload))
    allow_open_files(config.concurrency.value)
    async with AsyncExitStack() as stack:
        base_url, death = config.endpoint.base_url, asyncio.get_running_loop().create_future()
        if base_url is None:
            base_url = await stack.enter_async_context(embedded(config.sim, on_death=death.set_result))
        connections = await stack.enter_async_context(Connections(config.endpoint, base_url, api_key=api_key))
        server = await probe(connections, base_url)
        model = _model(config, server, base_url)
        workload = fitting(workload, server.context_of(model), skip=config.workload.skip_too_long)
        seed = secrets.randbits(48) if config.seed is None else config.seed
        prompts = await asyncio.to_thread(load_prompts, config, model, seed)
        context = server.context_of(model)
        prompts, calibration = await prove(config, prompts, connections, model, context=context)
        log.info("prompts %s: %s", prompts.name, calibration.finding)
        repository = await asyncio.to_thread(repository_state, experiments or Path.cwd(), directory)
        ready = await _ready(config, base_url, api_key)
        run, writer = RunDir.create(directory)
        manifest = facts.start(
            config,
            workload,
            prompts,
            calibration,
            server,
            ready=ready,
            model=model,
            seed=seed,
            base_url=base_url,
            repository=repository,
        )
        run.write_manifest(manifest)
        log.info(starting_line(manifest))
        await asyncio.to_thread(warm_up)  # imports hold the interpreter's lock: none while the clock runs
        recorder = Recorder(writer)
        setting = _setting(config, connections, recorder, model, seed, form=prompts.form)
        scripts = _scripts(config, workload, prompts, calibration)
        manifest["end"] = await _replay(config, setting, scripts, signals=signals, death=death)
        run.write_manifest(manifest)
    return Result(directory, await asyncio.to_thread(_report, run, html=config.html), manifest)


def _report(run: RunDir, *, html: bool) -> Summary:
    """Every number of a run that has ended, from its files and into them."""
    evaluated = Evaluated.of(run)
    run.write_summary(evaluated.summary)
    log.info(complete_line(evaluated.summary))
    if html:
        _write_page(evaluated)
    return evaluated.summary


def _write_page(evaluated: Evaluated) -> None:
    """The page beside the numbers, which stand without it."""
    try:
        log.info("report %s", evaluated.write_page())
    except ReportError as error:
        log.warning("%s", error)


def _model(config: RunConfig, server: ServerFacts, base_url: str) -> str:
    asked = config.model if config.endpoint.base_url else config.sim.model
    model = choose_model(asked, server, base_url)
    if server.models and model not in server.models:
        log.warning("model %s is not among those that %s lists: %s", model, base_url, ", ".join(server.models[:8]))
    return model


async def _ready(config: RunConfig, base_url: str, api_key: str | None) -> Readiness:
    """Let the engine come to rest, and empty its cache where that is wanted."""
    endpoint = config.endpoint
    async with Connections(endpoint, base_url.removesuffix("/v1"), api_key=api_key) as beside:
        in_flight = None
        if endpoint.load_keys:
            in_flight = await wait_until_idle(
                beside, endpoint.load_route, endpoint.load_keys, timeout_s=config.idle_timeout
            )
        if config.reset_cache:
            assert endpoint.reset_route is not None
            await reset_cache(beside, endpoint.reset_route)
            log.info("the engine's prefix cache was emptied")
    return Readiness(in_flight, cache_reset=config.reset_cache)


def _setting(
    config: RunConfig, connections: Connections, recorder: Recorder, model: str, seed: int, *, form: PromptForm
) -> Setting:
    live = Live(duration_s=config.duration, concurrency=config.concurrency.value)
    fmt = RequestFormat(config.endpoint, model, stream=config.stream, form=form, history=config.history)
    turns = Turns()
    requester = Requester(
        connections,
        fmt,
        max_retries=config.max_retries,
        timeout_s=config.timeout,
        stall_s=config.stall_timeout,
        on_retry=live.count_retry,
        turns=turns,
    )
    return Setting(
        fmt=fmt,
        requesters=[requester],
        recorder=recorder,
        health=LoopHealth(on_beat=live.beat),
        live=live,
        watch=FailureWatch(live, max_failures=config.max_failures, max_failure_rate=config.max_failure_rate),
        backoff=Backoff(live.concurrency),
        run_id=f"{seed:x}",
        turns=turns,
        session_header=config.endpoint.session_header,
    )


def _scripts(config: RunConfig, workload: Workload, prompts: Prompts, calibration: Calibration) -> ScriptsAhead:
    bos_tokens = bos_tokens_of(config, prompts, calibration)

    def script(trace: Trace, session_id: int) -> Script:
        return prompts.script(trace, session_id, bos_tokens=bos_tokens, answers=config.history == RECORDED)

    ahead = config.concurrency.value + EXTRA_SCRIPTS
    return ScriptsAhead(workload.traces, script, ahead=ahead, most=config.max_traces)


async def _replay(
    config: RunConfig, setting: Setting, ahead: ScriptsAhead, *, signals: Signals | None, death: asyncio.Future[str]
) -> dict[str, Any]:
    """Replay to the end, whatever ends it; returns the manifest's `end`."""
    try:
        async with ahead as scripts:
            engine = Engine(setting, scripts)
            death.add_done_callback(lambda _: engine.stop(ENDPOINT_DIED))
            with signals.replaying(lambda: engine.stop(INTERRUPTED)) if signals else nullcontext():
                async with _shown(setting.live, config):
                    reason = await engine.run()
    finally:
        setting.watch.conclude()
        await setting.recorder.close()
    return {
        "reason": reason,
        "detail": death.result() if reason == ENDPOINT_DIED else None,
        "wall_time_s": setting.live.now_s,
        "began_monotonic_s": setting.began,
        "client": setting.health.facts(),
    }


def bos_tokens_of(config: RunConfig, prompts: Prompts, calibration: Calibration) -> int:
    """Tokens to take off each first prompt: as set, else as many as the server is known to add to a text."""
    if config.endpoint.bos_tokens is not None:
        return config.endpoint.bos_tokens
    if config.endpoint.api.name == "chat":
        return 0  # a template adds to every turn: stated as drift, not hidden in the first
    known = calibration.offset_tokens if calibration.proven else prompts.adds_bos
    return known or 0


@asynccontextmanager
async def _shown(live: Live, config: RunConfig) -> AsyncIterator[None]:
    task = asyncio.create_task(follow(live, config.progress))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
