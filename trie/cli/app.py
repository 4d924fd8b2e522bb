"""The command line: a run or a sweep through Hydra, and the commands that need none of it."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import trie
from trie.cli import secrets
from trie.errors import TrieError

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("trie")

PACKAGE = Path(__file__).parent.parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"  # in a wheel, in a checkout

EXIT_ERROR, EXIT_INVALID, EXIT_INTERRUPTED = 1, 3, 130


def _report(arguments: list[str]) -> int:
    from trie.cli.report import main  # noqa: PLC0415 - each command pays for its own imports

    return main(arguments)


def _sim(arguments: list[str]) -> int:
    from trie.cli.sim import main  # noqa: PLC0415

    return main(arguments)


COMMANDS: dict[str, Callable[[list[str]], int]] = {"report": _report, "sim": _sim}


def main() -> None:
    """Run what the arguments say and exit with its code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code: 0, 1 user error or every request failed, 3 invalid and strict, 130 interrupted."""
    arguments, key = secrets.take_api_key(arguments)
    try:
        secrets.refuse_passwords(arguments)
        if arguments and arguments[0] in COMMANDS:
            return COMMANDS[arguments[0]](arguments[1:])
        if arguments == ["--version"]:
            print(f"trie {trie.__version__}")
            return 0
        _refuse_words(arguments)
        return _hydra(arguments, key)
    except TrieError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"trie: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("trie: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _refuse_words(arguments: list[str]) -> None:
    """A bare word in front is a mistyped command: Hydra's grammar would call it a parse error."""
    if arguments and not arguments[0].startswith(("-", "~")) and "=" not in arguments[0]:
        from trie.cli.errors import near_miss  # noqa: PLC0415

        hint = near_miss(arguments[0], COMMANDS) or "; trie --help lists the commands"
        raise TrieError(f"{arguments[0]}: no such command{hint}")


def _hydra(arguments: list[str], key: str | None) -> int:
    """Compose and run; Hydra's own errors become one line."""
    import hydra  # noqa: PLC0415
    from hydra.errors import HydraException  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    from trie.cli import errors, options  # noqa: PLC0415

    options.install()
    codes: list[int] = []
    everything = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors over instead of printing them
    sys.argv[1:] = arguments
    task = functools.partial(_task, key=key, codes=codes)
    functools.update_wrapper(task, _task)
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        if everything:
            raise
        raise TrieError(errors.explain(error)) from error
    finally:
        if not everything:
            del os.environ["HYDRA_FULL_ERROR"]
    return max(codes, default=0)


def _task(cfg: DictConfig, *, key: str | None, codes: list[int]) -> float | None:
    """One run, inside the directory that Hydra made for it; returns the headline figure for sweepers that want one.

    Raises:
        TrieError: for what the user can mend, and when every request failed.
        KeyboardInterrupt: after the report of a run that was interrupted.
    """
    from hydra.core.hydra_config import HydraConfig  # noqa: PLC0415
    from hydra.types import RunMode  # noqa: PLC0415

    from trie.cli import task  # noqa: PLC0415 - the run and all it needs

    directory = Path(HydraConfig.get().runtime.output_dir)
    try:
        result = task.measure(cfg, directory, key)
    except TrieError as error:
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            # At once: Hydra itself says so after the last cell only, and of the first failure only.
            log.error("%s: %s", directory.name, error)  # noqa: TRY400 - a user's error has no traceback
        raise
    if result is None:
        return None
    task.show(result)
    if result.interrupted:
        raise KeyboardInterrupt
    if result.all_failed:
        raise TrieError(f"every request failed; {task.commonest_error(result)}")
    if task.strict(result) and not result.summary.valid:
        codes.append(EXIT_INVALID)
    return result.summary.workload["completion_tok_s"].steady_state
