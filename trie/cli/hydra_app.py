"""A run or a sweep as a Hydra application: arguments in, exit code out.

Hydra composes the config and calls the task; `beforehand` refuses mistakes before there is a directory.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
import yaml  # type: ignore[import-untyped]
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from trie.cli import errors, hydra_setup, launchers, logs, secrets
from trie.cli.arguments import Parser
from trie.cli.beforehand import Stopped, release
from trie.cli.rerun import own_folder, refuse_hidden_options
from trie.cli.typed_config import validate
from trie.config import ProgressStyle
from trie.config.shipped_groups import CONF
from trie.errors import EndpointError, TrieError, WorkerError
from trie.storage import sweep_dir
from trie.storage.run_dir import MANIFEST

if TYPE_CHECKING:
    from trie.run import Result

log = logging.getLogger("trie")

FULL_ERROR = "HYDRA_FULL_ERROR"  # =1: every error with its traceback
FLAGS_AT_ODDS = ("Only one of --run", "The --resolve flag")  # how Hydra's complaints on its own flags begin
EXIT_INVALID = 3


@dataclass
class Outcome:
    """What becomes of the command, beside what Hydra returns."""

    keys: secrets.Keys
    verbose: bool = False  # of a sweep: all that a single run prints, for each cell
    apart: bool = False  # of a sweep: its cells run in other processes, several at once
    position: str = ""  # of the cell within its sweep
    code: int = 0
    error: TrieError | None = None  # of a single run: Hydra would print a line of its own in front


def run(arguments: list[str], keys: secrets.Keys) -> int:
    """Compose and measure; returns the exit code.

    Raises:
        TrieError: for what the user can fix, Hydra's own errors included.
        KeyboardInterrupt: after the report of what was measured.
    """
    verbose = {"-v", "--verbose"}
    outcome = Outcome(keys, verbose=not verbose.isdisjoint(arguments))
    arguments = [argument for argument in arguments if argument not in verbose]
    task = functools.update_wrapper(Task(outcome), _task)  # Hydra looks where a function is from
    with _command_line(arguments), hydra_setup.extended(), _errors_raised():
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    if outcome.error is not None:
        raise outcome.error
    return outcome.code


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    """The arguments where Hydra reads them, and its flags tried before: argparse would print its usage and exit with 2.

    `trie a=1 -m b=2` becomes `trie -m a=1 b=2`: argparse wants overrides in one piece.
    """
    flags = [argument for argument in arguments if argument in {"-m", "--multirun"}]
    ordered = [*flags, *(argument for argument in arguments if argument not in flags)]
    typed = sys.argv
    name = Path(typed[0]).name
    prog = "trie" if name == "__main__.py" else name  # for usage lines and completion
    Parser(prog=prog, parents=[get_args_parser()], add_help=False).parse_args(ordered)
    sys.argv = [prog, *ordered]
    try:
        yield
    finally:
        sys.argv = typed


@contextmanager
def _errors_raised() -> Iterator[None]:
    """Hydra's errors as TrieErrors of one line, all others as they are.

    Hydra prints an error and exits; HYDRA_FULL_ERROR is its only switch for raising it, and is set for the time being.
    Where the user set it, everything is raised as it is.
    """
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    except Stopped as stopped:
        raise stopped.error from stopped
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError) as error:
        text = None if before == "1" else _explained(error)
        if text is None:
            raise
        raise TrieError(text) from error
    finally:
        del os.environ[FULL_ERROR]
        if before is not None:
            os.environ[FULL_ERROR] = before


def _explained(error: Exception) -> str | None:
    """The line for a user's error; None for a bug."""
    if isinstance(error, (HydraException, OmegaConfBaseException, yaml.YAMLError)):
        return errors.explain(error)
    if isinstance(error, OSError):
        return errors.of_the_system(error) if error.errno in errors.OF_THE_SYSTEM else None
    return str(error) if str(error).startswith(FLAGS_AT_ODDS) else None


class Task:
    """One run, as Hydra calls it, in this process or in one that a launcher started."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def __call__(self, cfg: DictConfig) -> float | None:
        return _task(cfg, outcome=self.outcome)

    def __reduce__(self) -> tuple[Callable[[Outcome], Task], tuple[Outcome]]:
        """The launcher composes the cell in its process, and this arrives there before."""
        return _in_another_process, (self.outcome,)


def _in_another_process(outcome: Outcome) -> Task:
    launchers.compose_here()
    return Task(outcome)


def _task(cfg: DictConfig, *, outcome: Outcome) -> float | None:
    """One run, inside the directory that Hydra made for it; returns the headline figure for sweepers that want one.

    Raises:
        TrieError: in a sweep, for what the user can fix, and for a run that failed.
        KeyboardInterrupt: after the report of a run that was interrupted.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode is RunMode.MULTIRUN
    brief = sweeping and not outcome.verbose  # the sweeper has a line for the cell
    try:
        with logs.warnings_alone() if brief else nullcontext():
            result = (measure_cell if sweeping else measure_once)(cfg, directory, outcome)
        if result is None:
            return None
        if not brief:
            show(result)
        refuse_failed(result)
    except TrieError as error:
        if sweeping:
            # At once: Hydra itself reports it after the last cell only, and the first failure only.
            log.error("%s: %s", directory.name, error)  # noqa: TRY400 - a user's error has no traceback
            raise
        outcome.error = error
        return None
    if result.interrupted:
        raise KeyboardInterrupt
    if result.manifest.settings.strict and not result.summary.valid:
        outcome.code = EXIT_INVALID
    return result.summary.workload["completion_tok_s"].steady_state


def measure_once(cfg: DictConfig, directory: Path, outcome: Outcome) -> Result:
    """Run and report; a start that fails leaves nothing behind.

    Raises:
        TrieError: for what the user can fix.
    """
    try:
        return measure(cfg, directory, outcome)
    except (TrieError, OSError, KeyboardInterrupt):
        if not (directory / MANIFEST).exists():
            release(directory)
        raise


def measure(cfg: DictConfig, directory: Path, outcome: Outcome) -> Result:
    """Run and report.

    Raises:
        TrieError: for what the user can fix.
    """
    refuse_hidden_options(cfg)
    config = validate(cfg)
    from trie.run import execute  # heavy, and a mistake above should not wait for it

    hidden = outcome.apart or (outcome.position and not outcome.verbose and not sys.stdout.isatty())
    if hidden and config.progress is ProgressStyle.auto:
        config = replace(config, progress=ProgressStyle.none)
    key = outcome.keys.key(config.endpoint.api_key_env)
    return execute(config, directory, api_key=key, experiments=own_folder(), position=outcome.position)


def measure_cell(cfg: DictConfig, directory: Path, outcome: Outcome) -> Result | None:
    """Run and report one cell of a sweep; None when it is done already.

    Raises:
        TrieError: for what the user can fix; it is noted in the cell's directory as well.
    """
    with sweep_dir.held(directory), sweep_dir.failure_noted(directory):
        cell = sweep_dir.intact(sweep_dir.read(directory))
        done = cell.status is sweep_dir.Status.done
        if done and not cfg.rerun:
            log.info("done before, skipped: %s", directory)
            return None
        aside = sweep_dir.set_aside(directory, "earlier" if done else "unfinished")
        if aside is not None:
            log.info("measured again; the earlier files are kept: %s", aside)
        return measure(cfg, directory, outcome)


def show(result: Result) -> None:
    """Print the report, and last the run's directory alone on a line, for scripts."""
    from trie.cli.console import console

    result.show(console())
    print(result.directory, flush=True)


def refuse_failed(result: Result) -> None:
    """Make an error of a run that died, in which no request ended well, or that a limit on failures ended.

    Raises:
        WorkerError: when all its workers died.
        EndpointError: with how it died, or the error that occurred most often.
    """
    if (death := result.endpoint_died) is not None:
        raise EndpointError(f"the embedded endpoint died ({death}); {result.directory} holds the rows until then")
    if result.workers_died:
        raise WorkerError(f"all workers died; {result.directory} holds the rows until then")
    if result.interrupted or not (result.all_failed or result.stopped):
        return
    kinds = result.summary.errors
    kind = max(kinds, key=kinds.__getitem__, default="no error was recorded")
    what = "every request failed" if result.all_failed else f"{result.summary.requests['failed']} requests failed"
    limit = f"; {result.stopped} ended the run after {result.summary.wall_time_s:.0f} s" if result.stopped else ""
    raise EndpointError(f"{what}: {kind}, {kinds.get(kind, 0)} times{limit}; {result.directory} holds the rows")
