"""The model that the settings name."""

from __future__ import annotations

from trie.config import SimConfig
from trie.sim.chunked import ChunkedModel
from trie.sim.prefix_cache import Cache
from trie.sim.scheduler import Scheduler
from trie.sim.timing import Model

MODELS: dict[str, type[Scheduler]] = {"separate": Model, "chunked": ChunkedModel}


def model_of(config: SimConfig, cache: Cache | None = None, *, every_step: bool = True) -> Scheduler:
    """The model of `sim.scheduler`; see `Scheduler` for the arguments."""
    return MODELS[config.scheduler](config, cache, every_step=every_step)
