"""All that Hydra is given to compose and run our configs: the schema, options, names, the sweeper and the guard.

Schema, resolvers and plugins have public ways in; they answer for our names alone, and stay. Three methods of Hydra are
wrapped for as long as `extended` lasts, because nothing else reaches them: one here, one in `group_options`, and one in
`config_guard`. tests/cli/test_hydra_setup.py tells when a new Hydra has changed one of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from trie.cli import config_guard, group_options
from trie.cli.commands.help import meanings
from trie.config import CommandConfig
from trie.config.run import ONE_WORKER
from trie.config.setting import unmeasured
from trie.config.stop_when import SLO

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
CAPACITY_SEARCH = "trie.cli.capacity_search.CapacityCells"


@contextmanager
def extended() -> Iterator[None]:
    """Hydra with our additions; its own methods are restored at the end."""
    for plugin in (group_options.OptionSource, group_options.OptionSearchPath):
        Plugins.instance().register(plugin)
    ConfigStore.instance().store(name="schema", node=CommandConfig)
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    with composing(), our_sweeper():
        yield


@contextmanager
def composing() -> Iterator[None]:
    """What a process needs to compose the config of a cell: the schema, plugins and resolvers come to it from Hydra."""
    with config_guard.guarded(), group_options.numbers_as_names():
        yield


@contextmanager
def our_sweeper() -> Iterator[None]:
    """Our sweeper in place of Hydra's basic one; another that somebody chose stays.

    No public way: Hydra makes sweepers only of modules in the package hydra_plugins, which load with every Hydra
    application of the same environment, and looks up by its name even a class that was registered.
    """
    hydras = Plugins.instantiate_sweeper

    def instantiate_sweeper(self: Plugins, *, config: DictConfig, **context: Any) -> Sweeper:
        target = config.hydra.sweeper._target_
        if target not in (BASIC_SWEEPER, CAPACITY_SEARCH):
            return hydras(self, config=config, **context)
        from trie.cli.capacity_search import CapacityCells  # not for a single run
        from trie.cli.sweeper import Cells

        kind = CapacityCells if target == CAPACITY_SEARCH else Cells
        sweeper = kind(max_batch_size=config.hydra.sweeper.max_batch_size, params=config.hydra.sweeper.params)
        sweeper.setup(config=config, **context)
        return sweeper

    Plugins.instantiate_sweeper = instantiate_sweeper
    try:
        yield
    finally:
        Plugins.instantiate_sweeper = hydras


def slug(text: object) -> str:
    """Text as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", str(text)).strip("-.") or "unnamed"


def fingerprint(*, _root_: DictConfig) -> str:
    """A short hash of what a run measures: a changed setting is another cell of a sweep."""
    ignored = {*unmeasured(CommandConfig), "hydra"}
    if _root_.endpoint.base_url is not None:
        ignored.add("sim")
    if _root_.workers == ONE_WORKER:
        ignored.add("workers")  # as it was before there were several
    if _root_.stop_when == SLO:
        ignored.discard("slo")  # which then says how long a run lasts
    run = OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key not in ignored])
    text = OmegaConf.to_yaml(run, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def load_slug(*, _root_: DictConfig) -> str:
    """The load as part of a directory's name."""
    load = _root_.load
    if load.shape == "closed":
        return f"c{_root_.concurrency.value}"
    return slug(f"{load.shape}{load.rate:g}" if load.shape in ("poisson", "constant") else load.shape)


def repeat_suffix(*, _root_: DictConfig) -> str:
    """What tells the repeats of a cell apart: nothing for the first, so that repeats may be added to a sweep."""
    return "" if _root_.repeat == 1 else f"-r{_root_.repeat}"


def sweep_name(*, _root_: DictConfig) -> str:
    """The folder of a sweep without a name: its endpoint and model."""
    endpoint = _root_.endpoint
    where = endpoint.base_url if endpoint.name == "custom" else endpoint.name
    where = re.sub(r"^https?://", "", str(where))
    return slug(where if _root_.model is None else f"{where}-{_root_.model}")


RESOLVERS: dict[str, Callable[..., str]] = {
    "slug": slug,
    "fingerprint": fingerprint,
    "load_slug": load_slug,
    "again": repeat_suffix,
    "sweep_name": sweep_name,
    "meanings": meanings,
}
