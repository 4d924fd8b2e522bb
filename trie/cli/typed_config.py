"""From a composed config to the library's own types: what Hydra would let through is refused here."""

from __future__ import annotations

import copy
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from trie.cli import errors, secrets
from trie.config import CommandConfig, RunConfig
from trie.errors import ConfigError


def validate(cfg: DictConfig) -> RunConfig:
    """The run that a composed config describes, as the library's own type, its rules checked.

    Raises:
        ConfigError: naming the key, what was found and what is allowed.
    """
    return settings(cfg).run()


def settings(cfg: DictConfig) -> CommandConfig:
    """All that a command line sets, its rules checked.

    Raises:
        ConfigError: naming the key, what was found and what is allowed.
    """
    _refuse_unknown(cfg, frozenset(errors.settings()))
    secrets.refuse_in_headers(headers(cfg))
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{name}=...' for name in missing)}")
    config: Any = OmegaConf.to_object(cfg)
    assert isinstance(config, CommandConfig)
    if config.slo is not None:
        from trie.metrics.slo.expression import parse_all  # numpy, for those alone who set one

        parse_all(config.slo)
    return config


def headers(cfg: DictConfig) -> dict[str, str]:
    """The headers as they are written in the config: interpolations stay what they are."""
    written: Any = OmegaConf.to_container(cfg.endpoint.headers, resolve=False)
    return written if isinstance(written, dict) else {}


def without_hydra(cfg: DictConfig) -> DictConfig:
    """The config of a job: without what Hydra keeps in it for itself."""
    job = copy.deepcopy(cfg)
    with read_write(job), open_dict(job):
        del job["hydra"]
    return job


def _refuse_unknown(cfg: DictConfig, keys: frozenset[str], prefix: str = "") -> None:
    """`+key=...` adds to any config, also what nothing reads."""
    for name, value in cfg.items_ex(resolve=False):
        key = f"{prefix}{name!s}"
        if any(other.startswith(f"{key}.") for other in keys) and isinstance(value, DictConfig):
            _refuse_unknown(value, keys, f"{key}.")
        elif key not in keys:
            raise ConfigError(errors.unknown(key))
