"""Before the clock starts: the server is met, understood and proven. One way for runs, `trie probe`, `trie calibrate`.

Each step says in one line what it found. What is found goes into `Prepared`, and from there into the manifest.
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
from trie.engines.detect import context_beside
from trie.errors import ConfigError
from trie.preflight import rtt
from trie.preflight.discovery import Met, choose_model, meet, root_of, settled
from trie.preflight.idle import Readiness, reset_cache, wait_until_idle
from trie.preflight.limits import fitting
from trie.preflight.prompt_lengths import Calibration, prove
from trie.preflight.rtt import Rtt
from trie.preflight.single_request import Asker
from trie.preflight.warmup import WarmUp, warm_up
from trie.prompts.builder import Prompts
from trie.prompts.builder import load as load_prompts
from trie.sim.process import embedded
from trie.workload.trace import Workload

log = logging.getLogger("trie")
REHEARSED = (16, 2)  # tokens of prompt and answer of the request that shows what a stream holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a run needs to start its clock."""

    config: RunConfig  # with the dialect's settings in force
    workload: Workload
    servers: tuple[Connections, ...]  # open, to the API of each server
    beside: tuple[Connections, ...]  # open, to the routes beside it
    met: tuple[Met, ...]
    taken: Mapping[str, Any]  # settings that came from the dialect
    model: str
    context: int | None  # tokens, of the shortest
    rtt: Rtt
    seed: int
    prompts: Prompts
    calibration: Calibration
    warm_up: WarmUp | None
    readiness: Readiness

    def server(self) -> dict[str, Any]:
        """The manifest's `server`."""
        first = self.met[0]
        return {
            "base_url": self.servers[0].base_url,
            "replicas": [connections.base_url for connections in self.servers[1:]],
            "embedded": self.config.endpoint.base_url is None,
            "dialect": {
                "name": self.config.endpoint.name,
                "version": first.finding.version,
                "found": first.finding.dialect,
                "evidence": list(first.finding.evidence),
                "against": list(first.finding.against),
                "taken": dict(self.taken),
            },
            "model": self.model,
            "models": list(first.listed.models),
            "owned_by": first.listed.owned_by,
            "max_model_len": self.context,
            "facts": dict(first.facts),
            "rtt": asdict(self.rtt),
            "warm_up": None if self.warm_up is None else asdict(self.warm_up),
            "in_flight_before": self.readiness.in_flight,
            "cache_reset": self.readiness.cache_reset,
        }


@asynccontextmanager
async def prepared(
    config: RunConfig,
    workload: Workload,
    *,
    api_key: str | None = None,
    on_death: Callable[[str], object] = lambda _: None,
) -> AsyncIterator[Prepared]:
    """Meet the server, or start the embedded one, and find out all that could not be mended once the clock runs.

    Args:
        config: as the user gave it.
        workload: what is to be replayed.
        api_key: sent with every request.
        on_death: told when and how the embedded endpoint ends meanwhile.

    Raises:
        TrieError: for what the user can mend.
    """
    async with AsyncExitStack() as stack:
        urls = config.endpoint.base_urls
        if not urls:
            urls = [await stack.enter_async_context(embedded(config.sim, on_death=on_death))]
        met = [await meet(config.endpoint, url, api_key=api_key, wait_s=config.wait_for_ready) for url in urls]
        endpoint, taken = settled(config.endpoint, met)
        if config.reset_cache and endpoint.reset_route is None:
            raise ConfigError(f"reset_cache=true: must be false: {NO_ROUTE}")
        config = replace(config, endpoint=endpoint)

        async def opened(url: str) -> Connections:
            return await stack.enter_async_context(Connections(config.endpoint, url, api_key=api_key))

        servers = tuple([await opened(url) for url in urls])
        beside = tuple([await opened(root_of(url)) for url in urls])
        yield await _prove(config, workload, servers=servers, beside=beside, met=tuple(met), taken=taken)


async def _prove(
    config: RunConfig,
    workload: Workload,
    *,
    servers: tuple[Connections, ...],
    beside: tuple[Connections, ...],
    met: tuple[Met, ...],
    taken: Mapping[str, Any],
) -> Prepared:
    """What takes requests to the model, and the state in which its engine is left for the run."""
    model = _model(config, met, servers)
    context = _context(met, model)
    distance = await rtt.measure(beside[0])
    log.info("rtt %s", distance)
    seed = secrets.randbits(48) if config.seed is None else config.seed
    prompts = await asyncio.to_thread(load_prompts, config, model, seed)
    askers = [
        Asker(config, connections, model, one.listed.models) for connections, one in zip(servers, met, strict=True)
    ]
    prompts, calibration = await prove(prompts, askers[0], context=context)
    log.info("prompts %s: %s", prompts.name, calibration.finding)
    workload = fitting(workload, context, skip=config.workload.skip_too_long, template=calibration.template)
    if config.prompts.calibrate and config.stream:
        await _rehearse(config, prompts, askers[0])
    warmed = await _warmed(config, prompts, askers, context)
    return Prepared(
        config=config,
        workload=workload,
        servers=servers,
        beside=beside,
        met=met,
        taken=taken,
        model=model,
        context=context,
        rtt=distance,
        seed=seed,
        prompts=prompts,
        calibration=calibration,
        warm_up=warmed,
        readiness=await _ready(config, beside),
    )


def _model(config: RunConfig, met: Sequence[Met], servers: Sequence[Connections]) -> str:
    asked = config.model if config.endpoint.base_url else config.sim.model
    names = {
        choose_model(asked, one.listed, connections.base_url) for one, connections in zip(met, servers, strict=True)
    }
    if len(names) > 1:
        raise ConfigError(f"endpoint.replicas: serve different models ({', '.join(sorted(names))}); say model=NAME")
    return names.pop()


def _context(met: Sequence[Met], model: str) -> int | None:
    """The shortest context that any of the servers states."""
    known = [length for one in met for length in (one.listed.context_of(model), context_beside(one.facts)) if length]
    context = min(known, default=None)
    said = "not stated: whether it holds the workload is not known" if context is None else f"{context} tokens"
    log.info("model %s, context %s", model, said)
    return context


async def _rehearse(config: RunConfig, prompts: Prompts, asker: Asker) -> None:
    """One stream, as the run will have them: what it lacks is said while it can still be mended.

    Raises:
        EndpointError: when it is refused.
    """
    prompt_tokens, answer_tokens = REHEARSED
    text = prompts.text(prompt_tokens, ("rehearsal",))
    request = await asker.ask(text, tokens=answer_tokens, stream=True, form=prompts.form)
    asker.refuse(request, "rehearsal of a stream")
    if request.answer.prompt_tokens is None:
        log.warning("no usage in streams: cache hits and lengths will not be known")
    elif request.answer.cached_tokens is None and config.endpoint.cache_flag is not None:
        log.warning("no cached tokens in usage: start the server with %s", config.endpoint.cache_flag)


async def _warmed(config: RunConfig, prompts: Prompts, askers: Sequence[Asker], context: int | None) -> WarmUp | None:
    if not config.warm_up:
        return None
    found = await warm_up(
        askers,
        prompts,
        count=config.warm_up,
        concurrency=config.concurrency.value,
        context=context,
        stream=config.stream,
    )
    (log.warning if found.failed else log.info)("warm-up: %s", found)
    return found


async def _ready(config: RunConfig, beside: Sequence[Connections]) -> Readiness:
    """Let the engine come to rest, and empty its cache where that is wanted."""
    endpoint, in_flight = config.endpoint, None
    if endpoint.load_keys:
        in_flight = await wait_until_idle(
            beside, endpoint.load_route, endpoint.load_keys, timeout_s=config.idle_timeout
        )
    if config.reset_cache:
        assert endpoint.reset_route is not None
        for one in beside:
            await reset_cache(one, endpoint.reset_route)
        log.info("the engine's prefix cache was emptied")
    return Readiness(in_flight, cache_reset=config.reset_cache)
