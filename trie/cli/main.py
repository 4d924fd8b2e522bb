"""The command line: a run or a sweep through Hydra, and the commands beside it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType

import trie
from trie.cli import secrets
from trie.errors import TrieError, near_miss
from trie.one_line import one_line

FULL_ERROR = "HYDRA_FULL_ERROR"  # =1: every error with its traceback
COMPLETION = ("-sc", "--shell-completion")
LINE = 1000  # characters of an error's line: what it quotes may be long, and may try to steer the terminal
EXIT_ERROR, EXIT_INTERRUPTED = 1, 130
STDOUT, STDERR = 1, 2  # the numbers of their files

# Each is a module of trie.cli.commands with a `main`.
COMMANDS = (
    "report", "compare", "gate", "ab", "export", "init", "calibrate", "fit", "probe", "record", "sim", "workload", "ls",
    "serve", "schema", "help",
)  # fmt: skip
WITH_KEY = ("probe", "ab")  # those of them that speak to a server, and need the key


def command(name: str) -> ModuleType:
    """The module of a command; each pays for its own imports."""
    return import_module(f"trie.cli.commands.{name}")


def main() -> None:
    """Run what the arguments say and exit with its code."""
    _open_standard_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    code = run(sys.argv[1:])
    with suppress(KeyboardInterrupt):
        for number in (signal.SIGINT, signal.SIGTERM):  # all is done: the interpreter's own end is not cut short
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _open_standard_streams() -> None:
    """Put nothing where a caller closed a stream (`>&-`): a file of the run would get its number otherwise."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(number)
    sys.stdout, sys.stderr = sys.stdout or os.fdopen(STDOUT, "w"), sys.stderr or os.fdopen(STDERR, "w")


def run(arguments: list[str]) -> int:
    """The exit code: 0, 1 user error or a run that failed, 3 invalid and strict, 4 a gate failed, 130 interrupted."""
    arguments, keys = secrets.take_api_key(arguments)
    try:
        return _dispatch(arguments, keys)
    except TrieError as error:
        if os.environ.get(FULL_ERROR) == "1":
            raise
        print("\n".join(one_line(line, LINE) for line in f"trie: {error}".split("\n")), file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return _interrupted()
    except RuntimeError as error:  # what Python 3.11 makes of a signal while a class is made, as during imports
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return _interrupted()
    except BrokenPipeError:
        from trie.cli.logs import nobody_reads

        nobody_reads()
        return EXIT_ERROR


def _interrupted() -> int:
    print("trie: interrupted", file=sys.stderr)
    return EXIT_INTERRUPTED


def _dispatch(arguments: list[str], keys: secrets.Keys) -> int:
    """Hand over to a command, or to Hydra."""
    secrets.refuse_passwords(arguments)
    if len(arguments) == 2 and arguments[0] in COMPLETION and arguments[1].startswith("query="):
        from trie.cli import completion

        return completion.answer(lambda: _hydra(arguments, keys), COMMANDS)
    if arguments and arguments[0] in WITH_KEY:
        return int(command(arguments[0]).main(arguments[1:], keys))
    if arguments and arguments[0] in COMMANDS:
        return int(command(arguments[0]).main(arguments[1:]))
    if "--version" in arguments:
        print(f"trie {trie.__version__}")
        return 0
    _refuse_words(arguments)
    return _hydra(arguments, keys)


def _refuse_words(arguments: list[str]) -> None:
    """A bare word in front is a mistyped command: Hydra's grammar would call it a parse error."""
    nameless = next((argument for argument in arguments if argument.strip().startswith("=")), None)
    if nameless is not None:
        raise TrieError(f"{nameless}: no key in front of the =")
    if arguments and not arguments[0].startswith(("-", "~")) and "=" not in arguments[0]:
        hint = near_miss(arguments[0], COMMANDS) or "; trie --help lists the commands"
        raise TrieError(f"{arguments[0]}: no such command{hint}")


def _hydra(arguments: list[str], keys: secrets.Keys) -> int:
    from trie.cli import hydra_app  # Hydra, not for the other commands

    return hydra_app.run(arguments, keys)
