"""A trap of any Hydra app, closed: values in an experiment's body silently beat a group chosen on the command line."""

from __future__ import annotations

from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from trie.cli.options import ALIASES
from trie.errors import ConfigError

CHOSEN = ("workload", "endpoint", "concurrency", "profile")
PACKAGES = {"profile": "sim"}  # where a group's values stand, when not under its own name


def refuse_hidden_options(cfg: DictConfig) -> None:
    """Refuse a run in which an experiment's body undoes what a group on the command line sets.

    Raises:
        ConfigError: naming the group, the key, and how to override it all the same.
    """
    typed = list(HydraConfig.get().overrides.task)
    if not {"experiment", "sweep"} & {_group(part) for part in typed}:
        return
    plain = [part for part in typed if _group(part) not in {"experiment", "sweep"}]
    for group in (name for name in CHOSEN if name in {_group(part) for part in typed}):
        package = PACKAGES.get(group, group)
        asked = _composed(plain, package)
        default = _composed([part for part in plain if _group(part) != group], package)
        found = _plain(cfg, package)
        for key, value in asked.items():
            if value != default[key] and found[key] != value:
                raise ConfigError(
                    f"{group}=... has no effect: the experiment sets {package}.{key} itself; use {package}.{key}=..."
                )


def _group(override: str) -> str:
    name = override.partition("=")[0]
    return ALIASES.get(name, name)


def _composed(overrides: list[str], package: str) -> dict[str, Any]:
    loader = GlobalHydra.instance().config_loader()
    return _plain(loader.load_configuration("config", overrides=overrides, run_mode=RunMode.RUN), package)


def _plain(config: DictConfig, package: str) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config[package], resolve=False)
    assert isinstance(values, dict)
    return values
