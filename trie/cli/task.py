"""One run of the command line: composed config to shown report."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from trie import sweepdir
from trie.cli import errors, secrets
from trie.cli.experiments import own_folder, refuse_hidden_options
from trie.config import CommandConfig, RunConfig
from trie.errors import ConfigError, EndpointError

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
    from trie.run import execute  # noqa: PLC0415 - heavy, and a mistake above should not wait for it

    key = keys.key(config.endpoint.api_key_env)
    return execute(config, directory, api_key=key, experiments=own_folder())


def measure_cell(cfg: DictConfig, directory: Path, keys: secrets.Keys) -> Result | None:
    """Run and report one cell of a sweep; None when it is done already.

    Raises:
        TrieError: for what the user can mend; the cell's directory says so as well.
    """
    with sweepdir.held(directory), sweepdir.failure_noted(directory):
        cell = sweepdir.intact(sweepdir.read(directory))
        again = cell.status is sweepdir.Status.done
        if again and not cfg.rerun:
            log.info("done before, skipped: %s", directory)
            return None
        aside = sweepdir.set_aside(directory, "earlier" if again else "unfinished")
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
