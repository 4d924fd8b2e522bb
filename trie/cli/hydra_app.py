"""One run of the command line: composed config to shown report."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from trie.cli import errors, secrets
from trie.cli.rerun import own_folder, refuse_hidden_options
from trie.config import CommandConfig, RunConfig
from trie.errors import ConfigError, EndpointError, RunDirError, TrieError
from trie.storage import sweep_dir
from trie.storage.run_dir import MANIFEST, REQUESTS, SUMMARY

if TYPE_CHECKING:
    from trie.run import Result

log = logging.getLogger("trie")


def measure(cfg: DictConfig, directory: Path, keys: secrets.Keys) -> Result:
    """Run and report.

    Raises:
        TrieError: for what the user can mend.
    """
    refuse_hidden_options(cfg)
    config = validate(cfg)
    from trie.run import execute  # heavy, and a mistake above should not wait for it

    key = keys.key(config.endpoint.api_key_env)
    return execute(config, directory, api_key=key, experiments=own_folder())


def measure_cell(cfg: DictConfig, directory: Path, keys: secrets.Keys) -> Result | None:
    """Run and report one cell of a sweep; None when it is done already.

    Raises:
        TrieError: for what the user can mend; the cell's directory says so as well.
    """
    with sweep_dir.held(directory), sweep_dir.failure_noted(directory):
        cell = sweep_dir.intact(sweep_dir.read(directory))
        again = cell.status is sweep_dir.Status.done
        if again and not cfg.rerun:
            log.info("done before, skipped: %s", directory)
            return None
        aside = sweep_dir.set_aside(directory, "earlier" if again else "unfinished")
        if aside is not None:
            log.info("measured again, what was there is kept: %s", aside)
        return measure(cfg, directory, keys)


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
    _refuse_unknown(cfg)
    secrets.refuse_in_headers(headers(cfg))
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{name}=...' for name in missing)}")
    config: Any = OmegaConf.to_object(cfg)
    assert isinstance(config, CommandConfig)
    return config


def headers(cfg: DictConfig) -> dict[str, str]:
    """The headers as they are written in the config: interpolations stay what they are."""
    found: Any = OmegaConf.to_container(cfg.endpoint.headers, resolve=False)
    return found if isinstance(found, dict) else {}


def without_hydra(cfg: DictConfig) -> DictConfig:
    """What a job is given: the config without what Hydra keeps in it for itself."""
    own = copy.deepcopy(cfg)
    with read_write(own), open_dict(own):
        del own["hydra"]
    return own


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
    from trie.cli.console import console

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
    kinds = result.summary.errors
    kind = max(kinds, key=kinds.__getitem__, default="no error was recorded")
    what = "every request failed" if result.all_failed else f"{result.summary.requests['failed']} requests failed"
    limit = f"; {result.stopped} ended the run after {result.summary.wall_time_s:.0f} s" if result.stopped else ""
    raise EndpointError(f"{what}: {kind}, {kinds.get(kind, 0)} times{limit}; {result.directory} holds the rows")


HYDRA = ".hydra"  # where Hydra keeps a run's config; made first, which only one of two runs can


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


class Stopped(BaseException):
    """Carries a user's error out of a callback, an Exception from which Hydra would turn into a warning."""

    def __init__(self, error: TrieError) -> None:
        super().__init__(str(error))
        self.error = error
