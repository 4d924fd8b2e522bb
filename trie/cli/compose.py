"""A config composed outside of a run by Hydra, for the commands that take settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from trie.cli import errors, hydra_setup
from trie.cli.typed_config import settings
from trie.config import CommandConfig
from trie.config.shipped_groups import CONF
from trie.errors import TrieError


def composed(overrides: Sequence[str], config_dir: Path | None = None) -> CommandConfig:
    """All that these overrides set, outside of a run by Hydra.

    Args:
        overrides: as on a command line.
        config_dir: a folder with further groups, as `-cd` adds it.

    Raises:
        TrieError: for a setting that does not exist or is not allowed.
    """
    search_path = [] if config_dir is None else [f"hydra.searchpath=['file://{config_dir.resolve()}']"]
    try:
        with hydra_setup.extended(), initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            return settings(compose("config", overrides=[*overrides, *search_path]))
    except (HydraException, OmegaConfBaseException) as error:
        raise TrieError(errors.explain(error)) from error
