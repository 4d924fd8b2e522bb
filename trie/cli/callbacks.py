"""Before Hydra makes the directory of a single run: are its settings allowed, and is the place free?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from trie.cli import errors, secrets, task
from trie.cli.stopped import Stopped
from trie.errors import ConfigError, RunDirError, TrieError
from trie.rundir import MANIFEST, REQUESTS, SUMMARY

HYDRA = ".hydra"  # where Hydra keeps a run's config; made first, which only one of two runs can


class Beforehand(Callback):  # type: ignore[misc]
    """A mistake leaves no directory behind, and no run writes its .hydra over that of another."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse here what would be refused in the run, and make the directory.

        Raises:
            Stopped: from the TrieError.
        """
        try:
            if task.settings(task.without_hydra(config)).plan:
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
            secrets.refuse_in_headers(task.headers(config))
        except TrieError as error:
            raise Stopped(error) from error


def make(directory: Path) -> None:
    """Make the directory where it is not there.

    Raises:
        RunDirError: when it can't be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirError(f"{directory}: can't make the run directory: {error.strerror}") from error


def claim(directory: Path) -> None:
    """Make the directory, or take it as it is when it holds no run; of two runs at once, one gets it.

    Raises:
        RunDirError: when it holds a run, or can't be made or written to.
    """
    make(directory)
    taken = any((directory / name).exists() for name in (MANIFEST, REQUESTS, SUMMARY))
    try:
        if not taken:
            (directory / HYDRA).mkdir()
    except FileExistsError:
        taken = True
    except OSError as error:
        raise RunDirError(f"{directory}: can't be written to: {error.strerror}") from error
    if taken:
        raise RunDirError(f"{directory}: holds a run already; choose another hydra.run.dir=")
