"""The overrides of one cell of a sweep: what the product of the swept settings gives it, and its repeat and seed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from hashlib import blake2b

from omegaconf import DictConfig, open_dict, read_write

OTHER_SERVERS = ("endpoint", "endpoint.base_url", "model")  # another of these, and nothing is in its cache


def added_settings(overrides: list[str], config: DictConfig, swept: set[str], repeat: int) -> list[str]:
    """The settings of a single cell: its repeat, and a seed derived from the one that is set for all of them.

    The same prompts in every cell would be in the server's cache from the second cell on. Sweeps of several servers
    give a cell the same seed on each.
    """
    added = [f"repeat={repeat}"] if repeat > 1 else []
    if config.seed is not None and "seed" not in swept:
        salt = [item for item in overrides if key_of(item) in swept and key_of(item) not in OTHER_SERVERS]
        text = " ".join([str(config.seed), str(repeat), *sorted(salt)])
        added.append(f"seed={int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), 'big')}")
    return added


def changed(config: DictConfig, added: Sequence[str], number: int) -> DictConfig:
    """The composed config with a cell's added settings and its job's number, as the launcher will set it."""
    changed = copy.deepcopy(config)
    with read_write(changed), open_dict(changed):
        for key, _, value in (item.partition("=") for item in added):
            changed[key] = int(value)
        changed.hydra.job.num = changed.hydra.job.id = number
    return changed


def without(overrides: Sequence[str], added: Sequence[str]) -> list[str]:
    keys = {key_of(item) for item in added}
    return [item for item in overrides if key_of(item) not in keys]


def key_of(override: str) -> str:
    return override.lstrip("+").partition("=")[0]
