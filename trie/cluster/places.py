"""Where the workers of a run are: on this machine, or on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from trie import config as settings
from trie.workers.assignment import worker_count
from trie.workers.handle import Placement
from trie.workers.processes import processes


@dataclass(frozen=True, slots=True)
class Places:
    """How many workers there are, and what places them; those that are not here can't write to the run's directory."""

    count: int
    place: Placement
    here: bool


@asynccontextmanager
async def placed(config: settings.RunConfig) -> AsyncIterator[Places]:
    """The places of a run's workers, kept for as long as the block lasts.

    Raises:
        ConfigError: where there is no Ray, or no such cluster.
        WorkerError: where the cluster has too few free cores.
    """
    if config.cluster.placement is settings.Placement.none:
        yield Places(worker_count(config), processes, here=True)
        return
    from trie.cluster.ray_cluster import ray_cluster

    async with ray_cluster(config) as (count, place):
        yield Places(count, place, here=False)
