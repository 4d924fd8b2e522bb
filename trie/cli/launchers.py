"""Hydra's launchers: cells of a sweep in other processes, several at once.

They place cells and never split one. A launcher pickles the task, starts processes and composes a cell's config there,
so the task brings along what composing needs. Several cells at once are the measured load of one server together, and
none of them would know: cells of one batch must have servers of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol, TypeVar

from omegaconf import DictConfig

from trie.cli import hydra_setup
from trie.config import RunConfig
from trie.errors import ConfigError
from trie.one_line import lasting
from trie.sweep.plan import Planned


class Placed(Protocol):
    """A cell, as far as it matters where and when it runs."""

    @property
    def planned(self) -> Planned: ...
    @property
    def config(self) -> RunConfig | None: ...


C = TypeVar("C", bound=Placed)


def batches(cells: Sequence[C], size: int) -> list[list[C]]:
    """The cells that are launched in one go each; what is done is left out and changes no batch.

    A sweep that is resumed so has the batches of its first start, none of which shares a server.
    """
    whole = (cells[at : at + size] for at in range(0, len(cells), size))
    to_do = ([cell for cell in batch if cell.planned.to_do] for batch in whole)
    return [batch for batch in to_do if batch]


def own_directory(name: str) -> str:
    """The override for a cell's directory, which may be named for the job's number.

    Launchers number the jobs of a batch themselves, without those that are done.
    """
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"hydra.sweep.subdir='{escaped}'"


def position(done: int, size: int, cells: int) -> str:
    """Of a batch within its sweep."""
    return f"cell {done + 1} of {cells}" if size == 1 else f"cells {done + 1} to {done + size} of {cells}"


def refuse(batches: Sequence[Sequence[Placed]], launcher: DictConfig) -> None:
    """Refuse cells that would share a server at once, and cells that the launcher would kill before their end.

    Raises:
        ConfigError: with the reason, and how to do it.
    """
    name = str(launcher._target_).rpartition(".")[2]
    limit = launcher.get("timeout_min")
    for batch in batches:
        for url in _shared_urls(batch):
            raise ConfigError(
                f"{url}: {len(batch)} cells run at once ({name}), and several of them measure this server: each would "
                "be the other's load; leave out hydra/launcher, or sweep the endpoint last with "
                "hydra.sweeper.max_batch_size=(how many endpoints there are)"
            )
        longest = max(cell.planned.duration_s for cell in batch)
        if limit is not None and longest >= 60 * limit:
            raise ConfigError(
                f"hydra.launcher.timeout_min={limit}: the launcher would kill cells of {lasting(longest)}; they need "
                "their duration, and the time to start and to report"
            )


def _shared_urls(batch: Sequence[Placed]) -> Iterator[str]:
    """URLs of servers that an earlier cell of the batch measures too; each embedded endpoint is its cell's own."""
    places = set()
    for config in (cell.config for cell in batch if cell.config is not None):
        endpoint = config.endpoint
        yield from (url for url, place in zip(endpoint.base_urls, endpoint.places, strict=True) if place in places)
        places.update(endpoint.places)


@functools.cache  # a process gets a task for each of its cells
def compose_here() -> ExitStack:
    """Hydra with what composing a cell needs, in a process that a launcher started, until it ends."""
    stack = ExitStack()
    stack.enter_context(hydra_setup.composing())
    return stack
