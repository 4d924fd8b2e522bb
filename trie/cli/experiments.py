"""A trap of any Hydra app, closed: values in an experiment's body silently beat a group chosen on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from trie.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

CHOSEN = ("workload", "endpoint", "concurrency", "profile")
PACKAGES = {"profile": "sim"}  # where a group's values stand, when not under its own name


def refuse_hidden_options(cfg: DictConfig) -> None:
    """Refuse a run whose group on the command line has no effect because an experiment's body sets the same keys.

    Raises:
        ConfigError: naming the group and how to override it all the same.
    """
    typed = list(HydraConfig.get().overrides.task)
    groups = [part.split("=")[0] for part in typed]
    asked = [group for group in CHOSEN if group in groups or (group == "workload" and "workload_path" in groups)]
    if not asked or not any(group in {"experiment", "sweep"} for group in groups):
        return
    loader = GlobalHydra.instance().config_loader()
    plain = [part for part in typed if part.split("=")[0] not in {"experiment", "sweep"}]
    without = loader.load_configuration("config", overrides=plain, run_mode=RunMode.RUN)
    for group in asked:
        package = PACKAGES.get(group, group)
        if cfg[package] != without[package]:
            raise ConfigError(f"{group}=... has no effect: the experiment sets {package} itself; say {package}.KEY=...")
