"""The way to the clock: discover the server, understand it, verify. Runs, `trie probe`, `trie calibrate` take it.

Each step says in one line of the log what it found, in this order: server and dialect, model and context, rtt, prompts,
warm-up, idle. The results are in `Prepared`, and from there in the manifest.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from trie.config import RunConfig
from trie.config.run import NO_ROUTE
from trie.endpoint.connection import Connections
from trie.endpoint.request_body import REASONING
from trie.engines.detect import context_beside
from trie.errors import ConfigError
from trie.preflight import rtt
from trie.preflight.discovery import Discovery, apply_dialect, choose_model, discover, root_of
from trie.preflight.idle import EngineState, reset_cache, wait_until_idle
from trie.preflight.limits import fitting
from trie.preflight.pilot import measured_pace, pilot_facts
from trie.preflight.prompt_lengths import LengthCheck, longest_prompt, verify_prompts
from trie.preflight.rtt import Rtt
from trie.preflight.single_request import Sender
from trie.preflight.warmup import WarmUp, warm_up
from trie.prompts.builder import Prompts
from trie.prompts.builder import load as load_prompts
from trie.sim.process import embedded
from trie.workload.accounting import every_request
from trie.workload.closed_loop import Pace
from trie.workload.trace import Workload

log = logging.getLogger("trie")
NO_URL = "virtual:"  # where no server is
REHEARSAL_PROMPT_TOKENS, REHEARSAL_ANSWER_TOKENS = 512, 2  # of the request that shows what a stream holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a run needs to start its clock."""

    config: RunConfig  # with the dialect's settings in force
    workload: Workload
    servers: tuple[Connections, ...]  # open, to the API of each server
    beside: tuple[Connections, ...]  # open, to the routes beside it
    discoveries: tuple[Discovery, ...]  # of each server
    dialect_settings: Mapping[str, Any]  # those that came from the dialect
    model: str
    context: int | None  # tokens, of the shortest
    rtt: Rtt
    seed: int
    prompts: Prompts
    length_check: LengthCheck
    warm_up: WarmUp | None
    engine_state: EngineState
    pace: Pace | None = None  # of the server, where the start needs it

    def server(self) -> dict[str, Any]:
        """The manifest's `server`."""
        first = self.discoveries[0]
        return {
            "base_url": self.servers[0].base_url if self.servers else NO_URL,
            "replicas": [connections.base_url for connections in self.servers[1:]],
            "engines": [discovery.finding.name for discovery in self.discoveries] if len(self.servers) > 1 else [],
            "embedded": self.config.endpoint.base_url is None,
            "proxy": str(proxy.url) if self.servers and (proxy := self.servers[0].proxy) is not None else None,
            "dialect": {
                "name": self.config.endpoint.name,
                "version": first.finding.version,
                "found": first.finding.dialect,
                "evidence": list(first.finding.evidence),
                "against": list(first.finding.against),
                "taken": dict(self.dialect_settings),
            },
            "model": self.model,
            "models": list(first.listed.models),
            "owned_by": first.listed.owned_by,
            "max_model_len": self.context,
            "facts": dict(first.facts),
            "rtt": asdict(self.rtt),
            "warm_up": None if self.warm_up is None else asdict(self.warm_up),
            "pilot": None if self.pace is None else pilot_facts(self.pace),
            "in_flight_before": self.engine_state.in_flight,
            "cache_reset": self.engine_state.cache_reset,
        }


@asynccontextmanager
async def prepared(
    config: RunConfig,
    workload: Workload,
    *,
    api_key: str | None = None,
    on_death: Callable[[str], object] = lambda _: None,
    fit: bool = True,
) -> AsyncIterator[Prepared]:
    """Discover the server, or start the embedded one, and do all that has to be done before the clock runs.

    Args:
        config: as the user gave it.
        workload: what is to be replayed.
        api_key: sent with every request.
        on_death: is told when and how the embedded endpoint ends meanwhile.
        fit: refuse or leave out what the model's context can't hold; false: take the workload as it is.

    Raises:
        TrieError: for what the user can fix.
    """
    async with AsyncExitStack() as stack:
        urls = config.endpoint.base_urls
        if not urls:
            urls = [await stack.enter_async_context(embedded(config.sim, on_death=on_death))]
        wait_s = config.wait_for_ready
        discoveries = [await discover(config.endpoint, url, api_key=api_key, wait_s=wait_s) for url in urls]
        endpoint, dialect_settings = apply_dialect(config.endpoint, discoveries)
        if config.reset_cache and endpoint.reset_route is None:
            raise ConfigError(f"reset_cache=true: must be false: {NO_ROUTE}")
        config = replace(config, endpoint=endpoint)

        async def opened(url: str) -> Connections:
            return await stack.enter_async_context(Connections(config.endpoint, url, api_key=api_key))

        yield await _prepare(
            config,
            workload,
            servers=tuple([await opened(url) for url in urls]),
            beside=tuple([await opened(root_of(url)) for url in urls]),
            discoveries=tuple(discoveries),
            dialect_settings=dialect_settings,
            fit=fit,
        )


async def _prepare(
    config: RunConfig,
    workload: Workload,
    *,
    servers: tuple[Connections, ...],
    beside: tuple[Connections, ...],
    discoveries: tuple[Discovery, ...],
    dialect_settings: Mapping[str, Any],
    fit: bool,
) -> Prepared:
    """The steps that send requests to the model, and the state in which they leave its engine."""
    model = _model(config, discoveries, servers)
    context = _context(discoveries, model)
    distance = await rtt.measure(beside[0])
    log.info("rtt %s", distance)
    seed = secrets.randbits(48) if config.seed is None else config.seed
    prompts = await asyncio.to_thread(load_prompts, config, model, seed)
    senders = [
        Sender(config, server, model, discovery.listed.models)
        for server, discovery in zip(servers, discoveries, strict=True)
    ]
    longest = longest_prompt(workload)
    prompts, length_check = await verify_prompts(prompts, senders[0], context=context, longest=longest)
    log.info("prompts %s: %s", prompts.name, length_check.finding)
    context = context or length_check.context
    if fit:
        back, skip = config.history == REASONING, config.workload.skip_too_long
        workload = fitting(workload, context, skip=skip, template=length_check.template, reasoning_back=back)
    if config.prompts.calibrate and config.stream:
        await _rehearse(config, prompts, senders[0], longest=min((context or 2 * longest) // 2, longest))
    _warn_of_short_answers(workload, senders[0].least_tokens)
    warmed_up = await _warm_up(config, prompts, senders, context)
    return Prepared(
        config=config,
        workload=workload,
        servers=servers,
        beside=beside,
        discoveries=discoveries,
        dialect_settings=dialect_settings,
        model=model,
        context=context,
        rtt=distance,
        seed=seed,
        prompts=prompts,
        length_check=length_check,
        warm_up=warmed_up,
        pace=await _pilot(config, prompts, senders, context),
        engine_state=await _engine_state(config, beside),
    )


async def _pilot(config: RunConfig, prompts: Prompts, senders: Sequence[Sender], context: int | None) -> Pace | None:
    if not config.warms_up:
        return None
    pace = await measured_pace(senders, prompts, context=context, stream=config.stream)
    log.info("pilot %.0f prompt tok/s, %.1f ms a token of an answer", pace.prompt_tok_s, 1000 * pace.answer_step_s)
    return pace


def _model(config: RunConfig, discoveries: Sequence[Discovery], servers: Sequence[Connections]) -> str:
    """The model that all servers serve."""
    named = config.model if config.endpoint.base_url else config.sim.model
    models = {
        choose_model(named, discovery.listed, server.base_url)
        for discovery, server in zip(discoveries, servers, strict=True)
    }
    if len(models) > 1:
        raise ConfigError(f"endpoint.replicas: serve different models ({', '.join(sorted(models))}); set model=NAME")
    return models.pop()


def _context(discoveries: Sequence[Discovery], model: str) -> int | None:
    """The shortest context that any of the servers states."""
    stated = [
        length
        for discovery in discoveries
        for length in (discovery.listed.context_of(model), context_beside(discovery.facts))
        if length is not None
    ]
    context = min(stated, default=None)
    shown = "not stated: whether it holds the workload is not known" if context is None else f"{context} tokens"
    log.info("model %s, context %s", model, shown)
    return context


async def _rehearse(config: RunConfig, prompts: Prompts, sender: Sender, *, longest: int) -> None:
    """One stream, as the run will have them: what it lacks is said while it can still be fixed.

    Many servers report cached tokens only where there are some: the same prompt is sent again before they are missed.

    Raises:
        EndpointError: when it is refused.
    """
    text = prompts.text(max(min(REHEARSAL_PROMPT_TOKENS, longest), 1), ("rehearsal",))
    for _ in range(2):
        request = await sender.send(text, tokens=REHEARSAL_ANSWER_TOKENS, stream=True, form=prompts.form)
        sender.raise_for(request, "rehearsal of a stream")
        if request.answer.prompt_tokens is None:
            log.warning("no usage in streams: cache hits and lengths will not be known")
            return
        if request.answer.cached_tokens is not None:
            return
    if (flag := config.endpoint.cache_flag) is not None:
        log.warning("no cached tokens in usage, nor when a prompt is sent again: start the server with %s", flag)
    else:
        log.warning("no cached tokens in usage, nor when a prompt is sent again: cache hits will not be known")


def _warn_of_short_answers(workload: Workload, least_tokens: int) -> None:
    """Say how many requests ask for fewer tokens than the server answers, all of which it will refuse."""
    answers = [plan.completion_tokens for plan in every_request(workload.traces)]
    short = sum(tokens < least_tokens for tokens in answers)
    if short:
        log.warning(
            "%d of the workload's %d requests ask for fewer than %d tokens, which the server refuses",
            short,
            len(answers),
            least_tokens,
        )


async def _warm_up(
    config: RunConfig, prompts: Prompts, senders: Sequence[Sender], context: int | None
) -> WarmUp | None:
    if not config.warm_up:
        return None
    outcome = await warm_up(
        senders,
        prompts,
        count=config.warm_up,
        concurrency=config.concurrency.value,
        context=context,
        stream=config.stream,
    )
    (log.warning if outcome.failed else log.info)("warm-up: %s", outcome)
    return outcome


async def _engine_state(config: RunConfig, beside: Sequence[Connections]) -> EngineState:
    """Let the engine come to rest, and empty its cache where that is wanted."""
    endpoint, in_flight = config.endpoint, None
    if endpoint.load_keys:
        in_flight = await wait_until_idle(
            beside, endpoint.load_route, endpoint.load_keys, timeout_s=config.idle_timeout, dialect=endpoint.name
        )
    if config.reset_cache:
        assert endpoint.reset_route is not None
        for server in beside:
            await reset_cache(server, endpoint.reset_route, endpoint.name)
        log.info("the engine's prefix cache was emptied")
    return EngineState(in_flight, cache_reset=config.reset_cache)
