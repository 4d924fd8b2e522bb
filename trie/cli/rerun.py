"""A trap of any Hydra app, closed: values in an experiment's body silently beat a group chosen on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from trie.errors import ConfigError
from trie.storage.manifest import Manifest
from trie.storage.run_dir import MANIFEST, RunDir

CHOSEN = ("workload", "endpoint", "concurrency", "profile")
PACKAGES = {"profile": "sim"}  # where a group's values stand, when not under its own name


def refuse_hidden_options(cfg: DictConfig) -> None:
    """Refuse a run in which an experiment's body undoes what a group on the command line sets.

    Raises:
        ConfigError: naming the group, the key, and how to override it all the same.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    typed = parser.parse_overrides(list(HydraConfig.get().overrides.task))
    values = {override.key_or_group: override.value() for override in typed}
    if not {"experiment", "sweep"} & values.keys():
        return
    for group in (name for name in CHOSEN if isinstance(values.get(name), str)):
        package = PACKAGES.get(group, group)
        for key in (key for key in _undone(cfg, group, package, values[group]) if key not in values):
            raise ConfigError(f"{group}=... has no effect: the experiment sets {key} itself; use {key}=...")


def own_folder() -> Path | None:
    """The folder of configs that the command line added (`-cd conf`, hydra.searchpath): the experiment repository's."""
    for source in HydraConfig.get().runtime.config_sources:
        if source.schema == "file" and source.provider != "main":
            return Path(source.path)
    return None


def _undone(cfg: DictConfig, group: str, package: str, option: str) -> Iterator[str]:
    """The keys that an option sets and that have another value in the end, whatever their defaults are."""
    path = f"{group}/{option}"
    for source in GlobalHydra.instance().config_loader().get_sources():
        if source.available() and source.is_config(path):
            loaded = source.load_config(path)
            values = loaded.config[package] if loaded.header["package"] == "_global_" else loaded.config
            merged = OmegaConf.merge(cfg[package], values)
            yield from (f"{package}.{key}" for key in values if merged[key] != cfg[package][key])
            return


HYDRA = ".hydra"  # folder of a run directory in which its config lies


def load(path: str) -> Any:
    """An experiment's file; where it is the config of a run, with the run's seed, model, words and workload.

    A setting that the file itself holds stays as it is, and the command line beats both: `seed=null` draws a fresh
    seed.

    Raises:
        OSError: when it can't be read.
        RunDirError: when the run's manifest can't be read.
    """
    config = OmegaConf.load(path)
    folder = Path(path).absolute().parent
    if isinstance(config, DictConfig) and folder.name == HYDRA and (folder.parent / MANIFEST).is_file():
        _pin(config, RunDir(folder.parent).manifest())
    return config


def _pin(config: DictConfig, manifest: Manifest) -> None:
    """Write what the run chose for itself where its config left the choice open."""
    server = manifest.server
    choices = {
        "seed": manifest.seed,
        "model": None if server.embedded else server.model,
        "tokenizer_model": "words" if manifest.prompts.source == "words" else server.model,
        "workload.sha256": manifest.workload.sha256,
    }
    for key, value in choices.items():
        if OmegaConf.select(config, key) is None:
            OmegaConf.update(config, key, value)
