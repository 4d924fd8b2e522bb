"""Before Hydra makes the directory of a single run: are its settings allowed, and is the place free?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from trie.cli import task
from trie.cli.stopped import Stopped
from trie.errors import ConfigError, RunDirError, TrieError
from trie.rundir import MANIFEST, REQUESTS, SUMMARY


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


def claim(directory: Path) -> None:
    """Make the directory, or take it as it is when it holds no run.

    Raises:
        RunDirError: when it holds a run, or can't be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirError(f"{directory}: can't make the run directory: {error.strerror}") from error
    if any((directory / name).exists() for name in (".hydra", MANIFEST, REQUESTS, SUMMARY)):
        raise RunDirError(f"{directory}: holds a run already; choose another hydra.run.dir=")
