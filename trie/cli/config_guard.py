"""Config files are data: what Hydra would call because a file says so is refused before anything of it is called.

Hydra makes objects of whatever `_target_` names in its callbacks, launchers and sweepers, and Python's logging of what
a logging section names, from any file that takes part in the composition: an experiment from elsewhere could run any
code. All ways into Hydra compose through one method, which is wrapped here. No public way: Hydra's own hook after the
composition (`on_compose_return`) is called on callbacks that were made of the config before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf

from trie.errors import ConfigError

VARIABLE = "TRIE_TRUSTED_TARGETS"  # prefixes of more names, for those who wrote the code
TRUSTED = (
    "trie.cli.",
    "hydra._internal.core_plugins.",
    "hydra_plugins.",  # installed launchers and sweepers
    "logging.StreamHandler",
    "logging.FileHandler",
    "colorlog.ColoredFormatter",
    "ext://sys.stdout",
    "ext://sys.stderr",
)
NAMES_CODE = frozenset({"_target_", "class", "()"})  # the keys by which Hydra and logging.config do
ENVIRONMENT = ("env_set", "env_copy")
NO_ENVIRONMENT = "a config may not touch the environment; set variables in the shell"


@contextmanager
def guarded() -> Iterator[None]:
    """Hydra composes no config that would call what is not trusted."""
    hydras = ConfigLoaderImpl.load_configuration

    def load_configuration(self: ConfigLoaderImpl, *arguments: Any, **named: Any) -> DictConfig:
        try:
            config: DictConfig = hydras(self, *arguments, **named)
        except KeyError as error:  # Hydra copies variables while it composes, and one is not set
            raise ConfigError(f"hydra.job.env_copy={error.args[0]}: {NO_ENVIRONMENT}") from error
        refuse_code(config)
        return config

    ConfigLoaderImpl.load_configuration = load_configuration
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = hydras


def refuse_code(config: DictConfig) -> None:
    """Refuse a config of which Hydra would call what is not trusted.

    Raises:
        ConfigError: naming the key and what it would call.
    """
    trusted = (*TRUSTED, *(prefix for prefix in os.environ.get(VARIABLE, "").split(",") if prefix))
    for key, named_code in _code(OmegaConf.to_container(config.hydra, resolve=False), "hydra"):
        if not named_code.startswith(trusted) or "${" in named_code:
            raise ConfigError(f"{key}={named_code}: a config may not name code to run (docs/configuration.md, Trust)")
    for name in ENVIRONMENT:
        if config.hydra.job[name]:
            raise ConfigError(f"hydra.job.{name}: {NO_ENVIRONMENT}")


def _code(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every place of a config that names code, with what it names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in NAMES_CODE:
                yield f"{key}.{name}", str(inner)
            yield from _code(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _code(item, key)
    elif isinstance(value, str) and value.startswith("ext://"):
        yield key, value
