"""Before a run: its mistakes are refused before there is a directory, and the directory is claimed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from trie.cli import errors, secrets
from trie.cli.typed_config import headers, settings, without_hydra
from trie.errors import ConfigError, RunDirError, TrieError
from trie.storage.run_dir import MANIFEST, REQUESTS, SUMMARY

LOG = "trie.log"
HYDRA = ".hydra"  # where Hydra keeps a run's config; made first, which only one of two runs can


class Stopped(BaseException):
    """Carries a user's error out of a callback, an Exception from which Hydra would turn into a warning."""

    def __init__(self, error: TrieError) -> None:
        super().__init__(str(error))
        self.error = error


class Beforehand(Callback):  # type: ignore[misc]
    """A mistake leaves no directory behind, and no run writes its .hydra over that of another."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse here what would be refused in the run, and make the directory.

        Raises:
            Stopped: from the TrieError.
        """
        try:
            if settings(without_hydra(config)).plan:
                raise ConfigError("plan=true: shows the plan of a sweep (-m or sweep=...); --cfg job shows a run")
            claim(Path(config.hydra.run.dir))
        except TrieError as error:
            raise Stopped(error) from error
        except OmegaConfBaseException as error:
            raise Stopped(ConfigError(errors.explain(error))) from error

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse what would be written down; the sweeper makes the directory, once it knows that there is no mistake.

        Raises:
            Stopped: from the TrieError.
        """
        try:
            secrets.refuse_in_headers(headers(config))
        except TrieError as error:
            raise Stopped(error) from error


def claim(directory: Path) -> None:
    """Make the directory, or take it as it is when it holds no run; of two runs at once, one gets it.

    Raises:
        RunDirError: when it holds a run, or can't be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirError(f"{directory}: can't make the run directory: {error.strerror}") from error
    occupied = any((directory / name).exists() for name in (MANIFEST, REQUESTS, SUMMARY))
    try:
        if not occupied:
            (directory / HYDRA).mkdir()
    except FileExistsError:
        occupied = True
    except OSError as error:
        raise RunDirError(f"{directory}: can't be written to: {error.strerror}") from error
    if occupied:
        raise RunDirError(f"{directory}: holds a run already; choose another hydra.run.dir=")


def release(directory: Path) -> None:
    """Undo `claim`: what Hydra wrote, and the directory where that was all."""
    shutil.rmtree(directory / HYDRA, ignore_errors=True)
    with suppress(OSError):
        (directory / LOG).unlink(missing_ok=True)
        directory.rmdir()
