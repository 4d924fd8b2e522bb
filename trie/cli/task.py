"""One run of the command line: composed config to shown report."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from trie.cli import errors, secrets
from trie.cli.experiments import refuse_hidden_options
from trie.config import RunConfig
from trie.errors import ConfigError, EndpointError, RunDirError
from trie.rundir import MANIFEST, REQUESTS, SUMMARY, RunDir

if TYPE_CHECKING:
    from trie.run import Result

log = logging.getLogger("trie")
LOCK = ".lock"


def measure(cfg: DictConfig, directory: Path, keys: secrets.Keys, *, resume: bool = False) -> Result | None:
    """Run and report; with `resume`, None for a cell of a sweep that was finished before.

    Raises:
        TrieError: for what the user can mend.
    """
    refuse_hidden_options(cfg)
    config = validate(cfg)
    with held(directory) if resume else nullcontext():
        if resume:
            if finished(directory):
                log.info("done before, skipped: %s", directory)
                return None
            set_aside(directory)
        from trie.run import execute  # noqa: PLC0415 - heavy, and a mistake above should not wait for it

        return execute(config, directory, api_key=keys.key(config.endpoint.api_key_env))


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keep other processes out of a cell's directory; the system lets go of it however this process ends.

    A second sweep would otherwise take a cell that is being measured for one that was left unfinished.

    Raises:
        RunDirError: when another process measures there.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 - not there on every platform

    with (directory / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunDirError(f"{directory}: another process is measuring there") from None
        yield


def finished(directory: Path) -> bool:
    """Whether a cell ran to its deadline and measured something."""
    if not (directory / SUMMARY).is_file():
        return False
    run = RunDir.open(directory)
    end = run.manifest()["end"]
    return end is not None and end["reason"] == "deadline" and run.summary()["requests"]["ok"] > 0


def set_aside(directory: Path) -> None:
    """Make room for a new run where an unfinished one left its rows; nothing is deleted."""
    left = [directory / name for name in (MANIFEST, REQUESTS, SUMMARY) if (directory / name).exists()]
    if not left:
        return
    number = next(n for n in count(1) if not (directory / f"unfinished-{n}").exists())
    aside = directory / f"unfinished-{number}"
    aside.mkdir()
    for path in left:
        path.rename(aside / path.name)
    log.info("measured again, the unfinished run is kept: %s", aside)


def validate(cfg: DictConfig) -> RunConfig:
    """The composed config as the library's own type, its rules checked.

    Raises:
        ConfigError: naming the key, what was found and what is allowed.
    """
    _refuse_unknown(cfg)
    secrets.refuse_in_headers(headers(cfg))
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{name}=...' for name in missing)}")
    config: Any = OmegaConf.to_object(cfg)
    assert isinstance(config, RunConfig)
    return config


def headers(cfg: DictConfig) -> dict[str, str]:
    """The headers as they are written in the config: interpolations stay what they are."""
    found: Any = OmegaConf.to_container(cfg.endpoint.headers, resolve=False)
    return found if isinstance(found, dict) else {}


def _refuse_unknown(cfg: DictConfig, prefix: str = "") -> None:
    """`+key=...` adds to any config, also what nothing reads."""
    known = set(errors.keys())
    for name, value in cfg.items_ex(resolve=False):
        key = f"{prefix}{name!s}"
        if any(other.startswith(f"{key}.") for other in known) and isinstance(value, DictConfig):
            _refuse_unknown(value, f"{key}.")
        elif key not in known:
            raise ConfigError(errors.unknown(key))


def show(result: Result) -> None:
    """Print the report, and last the run's directory alone on a line, for scripts."""
    from trie.cli.console import console  # noqa: PLC0415

    result.show(console())
    print(result.directory, flush=True)


def strict(result: Result) -> bool:
    """Whether an invalid verdict is to be an exit code."""
    return bool(result.manifest["config"]["strict"])


def refuse_failed(result: Result) -> None:
    """Make an error of a run whose endpoint died, in which no request ended well, or that a limit on failures ended.

    Raises:
        EndpointError: with how it died, or the error that occurred most often.
    """
    if (how := result.endpoint_died) is not None:
        raise EndpointError(f"the embedded endpoint died ({how}); {result.directory} holds the rows until then")
    if result.interrupted or not (result.all_failed or result.stopped):
        return
    kinds = result.summary.facts["errors"]
    kind = max(kinds, key=kinds.__getitem__, default="no error was recorded")
    what = "every request failed" if result.all_failed else f"{result.summary.requests['failed']} requests failed"
    limit = f"; {result.stopped} ended the run after {result.summary.wall_time_s:.0f} s" if result.stopped else ""
    raise EndpointError(f"{what}: {kind}, {kinds.get(kind, 0)} times{limit}; {result.directory} holds the rows")
