"""One run of the command line: composed config to shown report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from trie.cli import secrets
from trie.cli.experiments import refuse_hidden_options
from trie.config import RunConfig
from trie.errors import ConfigError
from trie.rundir import SUMMARY

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from trie.run import Result

log = logging.getLogger("trie")


def measure(cfg: DictConfig, directory: Path, key: str | None) -> Result | None:
    """Run and report; None for a cell of a sweep that was finished before.

    Raises:
        TrieError: for what the user can mend.
    """
    if (directory / SUMMARY).exists():
        log.info("done before, skipped: %s", directory)
        return None
    refuse_hidden_options(cfg)
    config = validate(cfg)
    from trie.run import execute  # noqa: PLC0415 - heavy, and a mistake above should not wait for it

    return execute(config, directory, api_key=secrets.api_key(key, config.endpoint.api_key_env))


def validate(cfg: DictConfig) -> RunConfig:
    """The composed config as the library's own type, its rules checked.

    Raises:
        ConfigError: naming the key, what was found and what is allowed.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{name}=...' for name in missing)}")
    config: Any = OmegaConf.to_object(cfg)
    assert isinstance(config, RunConfig)
    return config


def show(result: Result) -> None:
    """Print the report, and last the run's directory alone on a line, for scripts."""
    from trie.cli.console import console  # noqa: PLC0415

    result.show(console())
    print(result.directory, flush=True)


def strict(result: Result) -> bool:
    """Whether an invalid verdict is to be an exit code."""
    return bool(result.manifest["config"]["strict"])


def commonest_error(result: Result) -> str:
    """The kind of error that occurred most often, with its count."""
    errors = result.summary.facts["errors"]
    kind = max(errors, key=errors.__getitem__, default="no error was recorded")
    return f"{kind} {errors.get(kind, 0)} times; the rows hold the texts"
