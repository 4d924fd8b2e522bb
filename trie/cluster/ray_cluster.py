"""Workers on the nodes of a Ray cluster: the connection, a core for each of them, and their actors."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import pickle
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from yarl import URL

from trie.cluster.clock_offset import ClockOffset, burst
from trie.cluster.ray_handle import RayHandle, one_line
from trie.cluster.remote_worker import Bulk, Host, RemoteWorker, this_host
from trie.config import RunConfig
from trie.config.cluster import LOCAL
from trie.endpoint.proxy import is_this_machine
from trie.errors import ConfigError, WorkerError
from trie.signals import NUMBERS
from trie.workers.assignment import Assignment, worker_count
from trie.workers.handle import Placement

log = logging.getLogger("trie")
START_S = 60.0  # for an actor to start, which imports trie on its node
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # Ray would print what nodes report, wherever this process prints
}
# A cluster of our own notices a dead node within two seconds.
HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}


def require_ray() -> None:
    """Refuse a cluster where there is no Ray.

    Raises:
        ConfigError: saying what to install.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError('cluster=ray: Ray is not installed; pip install "trie[ray]"')


@asynccontextmanager
async def ray_cluster(config: RunConfig) -> AsyncIterator[tuple[int, Placement]]:
    """A cluster with a free core for each worker: how many there are, and what places them on it.

    Raises:
        ConfigError: where there is no Ray, or no such cluster.
        WorkerError: where the cluster has too few free cores.
    """
    require_ray()
    with _connected(config):
        workers = worker_count(config, _free_cores())
        group = await _reserved(workers, config.cluster.wait)
        try:
            yield workers, partial(_workers, group)
        finally:
            from ray.util import remove_placement_group

            remove_placement_group(group)


@contextmanager
def _connected(config: RunConfig) -> Iterator[None]:
    """Connected to the cluster, or in one of our own; a connection that somebody else has made is left as it is."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    address = config.cluster.address
    own = {"num_cpus": worker_count(config), "include_dashboard": False, "_system_config": HEALTH}
    with _signals_kept():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **own if address == LOCAL else {})
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ConfigError(f"cluster.address={address}: {one_line(error)}") from error
    try:
        log.info("ray %s: %d nodes", ray.__version__, sum(node["Alive"] for node in ray.nodes()))
        yield
    finally:
        ray.shutdown()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """SIGINT and SIGTERM as they were: Ray takes them for itself when it connects."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in NUMBERS} if in_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_cores() -> int:
    import ray

    return int(ray.available_resources().get("CPU", 0))


async def _reserved(workers: int, wait_s: float) -> Any:
    """A core for each worker, on as many nodes as there are."""
    from ray.util import placement_group, remove_placement_group

    group = placement_group([{"CPU": 1}] * workers, strategy="SPREAD")
    try:
        await asyncio.wait_for(group.ready(), wait_s)
    except TimeoutError:
        free = _free_cores()
        remove_placement_group(group)
        raise WorkerError(
            f"workers={workers}: the cluster had {free} free cores after {wait_s:g} s (cluster.wait); it must have one "
            "for each worker"
        ) from None
    return group


@asynccontextmanager
async def _workers(group: Any, assignments: Sequence[Assignment]) -> AsyncIterator[Sequence[RayHandle]]:
    """An actor for each assignment; all are killed at the end of the block."""
    import ray

    bulk = Bulk.of(assignments[0])
    shared = ray.put(pickle.dumps(bulk, pickle.HIGHEST_PROTOCOL))
    actors = [_Actor(group, index, bulk.taken_off(assignment), shared) for index, assignment in enumerate(assignments)]
    async with AsyncExitStack() as stack:
        for actor in actors:
            stack.callback(actor.kill)
        yield [await _handle(stack, actor, index, assignments[index].base_urls) for index, actor in enumerate(actors)]


class _Actor:
    """A `RemoteWorker` on a node."""

    def __init__(self, group: Any, index: int, assignment: Assignment, bulk: Any) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
        kind = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(RemoteWorker)
        self._remote = kind.options(scheduling_strategy=strategy).remote(pickle.dumps(assignment), bulk)

    async def host(self) -> Host:
        host: Host = await self._remote.host.remote()
        return host

    async def start(self) -> None:
        await self._remote.start.remote()

    def clock(self) -> Any:
        return self._remote.clock.remote()

    def exchange(self, commands: Any) -> Any:
        return self._remote.exchange.remote(commands)

    def kill(self) -> None:
        import ray

        ray.kill(self._remote)


async def _handle(stack: AsyncExitStack, actor: _Actor, index: int, base_urls: Sequence[str]) -> RayHandle:
    """The handle of an actor that has started."""
    from ray.exceptions import RayError

    try:
        host = await asyncio.wait_for(actor.host(), START_S)
        check_host(host, base_urls)
        await asyncio.wait_for(actor.start(), START_S)
        offset = ClockOffset()
        await burst(offset, actor.clock)
    except TimeoutError:
        raise WorkerError(f"a worker did not start within {START_S:g} s") from None
    except RayError as error:
        raise WorkerError(f"a worker did not start: {one_line(error)}") from error
    handle = RayHandle(actor, index, host, offset, failure=RayError, warn=log.warning)
    stack.push_async_callback(handle.close)
    return handle


def check_host(host: Host, base_urls: Sequence[str]) -> None:
    """Refuse a node that would be another client, or that would look for the server on itself.

    Raises:
        WorkerError: naming the node.
    """
    here = this_host()
    if host.trie_version != here.trie_version:
        versions = f"{host.trie_version}, this machine {here.trie_version}"
        raise WorkerError(f"{host.node} has trie {versions}: install the same version")
    for url in base_urls:
        if host.machine != here.machine and is_this_machine(URL(url)):
            raise WorkerError(f"{host.node} can't reach {url}, which is on this machine alone; give its host's name")
