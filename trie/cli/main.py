"""The command line: a run or a sweep through Hydra, and the commands that need none of it."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import trie
from trie.cli import secrets
from trie.config.shipped_groups import CONF
from trie.errors import TrieError
from trie.one_line import one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("trie")

FULL_ERROR = "HYDRA_FULL_ERROR"  # =1: every error with its traceback
COMPLETION = ("-sc", "--shell-completion")
FLAGS_AT_ODDS = ("Only one of --run", "The --resolve flag")  # how Hydra's complaints on its own flags begin
LINE = 1000  # characters of an error's line: what it quotes may be long, and may try to steer the terminal
EXIT_ERROR, EXIT_INVALID, EXIT_INTERRUPTED = 1, 3, 130


# Each is a module of this package with a `main`.
COMMANDS = ("report", "compare", "export", "init", "calibrate", "probe", "sim")
PROBE = "probe"  # the one of them that speaks to a server, and needs the key


def command(name: str) -> ModuleType:
    """The module of a command; each pays for its own imports."""
    return import_module(f"trie.cli.commands.{name}")


def main() -> None:
    """Run what the arguments say and exit with its code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    code = run(sys.argv[1:])
    with suppress(KeyboardInterrupt):
        for number in (signal.SIGINT, signal.SIGTERM):  # all is done: the interpreter's own end is not cut short
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code: 0, 1 user error or a run that failed, 3 invalid and strict, 4 a gate failed, 130 interrupted."""
    arguments, keys = secrets.take_api_key(arguments)
    try:
        with _flags_explained():
            return _dispatch(arguments, keys)
    except TrieError as error:
        if os.environ.get(FULL_ERROR) == "1":
            raise
        print("\n".join(one_line(line, LINE) for line in f"trie: {error}".split("\n")), file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("trie: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _dispatch(arguments: list[str], keys: secrets.Keys) -> int:
    """Hand over to a command, or to Hydra."""
    secrets.refuse_passwords(arguments)
    if len(arguments) == 2 and arguments[0] in COMPLETION and arguments[1].startswith("query="):
        from trie.cli import completion

        return completion.answer(lambda: _hydra(arguments, keys), COMMANDS)
    if arguments[:1] == [PROBE]:
        return int(command(PROBE).main(arguments[1:], keys))
    if arguments and arguments[0] in COMMANDS:
        return int(command(arguments[0]).main(arguments[1:]))
    if "--version" in arguments:
        print(f"trie {trie.__version__}")
        return 0
    _refuse_words(arguments)
    return _hydra(arguments, keys)


@contextmanager
def _flags_explained() -> Iterator[None]:
    """A flag that argparse refuses is a mistake as any other: one line, exit 1, instead of its usage and 2."""

    def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        raise TrieError(f"{message}; {parser.prog} --help lists what there is")

    usual = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = refuse  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        argparse.ArgumentParser.error = usual  # type: ignore[method-assign]


def _refuse_words(arguments: list[str]) -> None:
    """A bare word in front is a mistyped command: Hydra's grammar would call it a parse error."""
    nameless = next((argument for argument in arguments if argument.strip().startswith("=")), None)
    if nameless is not None:
        raise TrieError(f"{nameless}: no key in front of the =")
    if arguments and not arguments[0].startswith(("-", "~")) and "=" not in arguments[0]:
        from trie.cli.errors import near_miss

        hint = near_miss(arguments[0], COMMANDS) or "; trie --help lists the commands"
        raise TrieError(f"{arguments[0]}: no such command{hint}")


def _hydra(arguments: list[str], keys: secrets.Keys) -> int:
    """Compose and run; Hydra's own errors become one line."""
    import hydra
    import yaml  # type: ignore[import-untyped]
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from trie.cli import (
        errors,
        group_options,
    )
    from trie.cli.hydra_app import Stopped

    group_options.install()
    outcome = Outcome(keys)
    sys.argv = [_prog(), *_flags_first(arguments)]
    task = functools.update_wrapper(functools.partial(_task, outcome=outcome), _task)
    with _errors_handed_over() as everything:
        try:
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
        except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
            if everything:
                raise
            raise TrieError(errors.explain(error)) from error
        except Stopped as stopped:
            raise stopped.error from stopped
        except OSError as error:
            if everything or error.errno not in errors.OF_THE_SYSTEM:
                raise
            raise TrieError(errors.of_the_system(error)) from error
        except ValueError as error:
            if everything or not str(error).startswith(FLAGS_AT_ODDS):
                raise
            raise TrieError(str(error)) from error
    if outcome.error is not None:
        raise outcome.error
    return outcome.code


def _prog() -> str:
    """What usage lines and completion call us: `python -m trie` would be __main__.py."""
    name = Path(sys.argv[0]).name
    return "trie" if name == "__main__.py" else name


def _flags_first(arguments: list[str]) -> list[str]:
    """`trie a=1 -m b=2` as `trie -m a=1 b=2`: argparse wants overrides in one piece."""
    flags = [argument for argument in arguments if argument in {"-m", "--multirun"}]
    return [*flags, *(argument for argument in arguments if argument not in flags)]


@contextmanager
def _errors_handed_over() -> Iterator[bool]:
    """Hydra raises instead of printing, which it does on one variable only; yields whether the user had set it."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield before == "1"
    finally:
        del os.environ[FULL_ERROR]
        if before is not None:
            os.environ[FULL_ERROR] = before


@dataclass
class Outcome:
    """What becomes of the command, beside what Hydra returns."""

    keys: secrets.Keys
    code: int = 0
    error: TrieError | None = None  # of a single run: Hydra would print a line of its own in front


def _task(cfg: DictConfig, *, outcome: Outcome) -> float | None:
    """One run, inside the directory that Hydra made for it; returns the headline figure for sweepers that want one.

    Raises:
        TrieError: in a sweep, for what the user can mend, and for a run that failed.
        KeyboardInterrupt: after the report of a run that was interrupted.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from trie.cli import hydra_app  # the run and all it needs

    directory = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode is RunMode.MULTIRUN
    try:
        result = (hydra_app.measure_cell if sweeping else hydra_app.measure)(cfg, directory, outcome.keys)
        if result is None:
            return None
        hydra_app.show(result)
        hydra_app.refuse_failed(result)
    except TrieError as error:
        if sweeping:
            # At once: Hydra itself says so after the last cell only, and of the first failure only.
            log.error("%s: %s", directory.name, error)  # noqa: TRY400 - a user's error has no traceback
            raise
        outcome.error = error
        return None
    if result.interrupted:
        raise KeyboardInterrupt
    if hydra_app.strict(result) and not result.summary.valid:
        outcome.code = EXIT_INVALID
    return result.summary.workload["completion_tok_s"].steady_state
