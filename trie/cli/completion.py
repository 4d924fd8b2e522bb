"""What the Tab key offers: Hydra's groups and keys, and the commands in front of them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import redirect_stdout
from importlib import import_module

from trie.cli.errors import settings
from trie.cli.secrets import take_api_key
from trie.errors import TrieError

OF_SIM = ("profile", "sim.")
OF_SETTINGS = ("sim", "probe")  # commands that take settings as a run does


def answer(complete: Callable[[], int], commands: Collection[str]) -> int:
    """Print what fits the line in COMP_LINE, on which `complete` is Hydra's own answer; a line in error has none."""
    line = os.environ.get("COMP_LINE", "")
    program, *words = line.split() or [""]
    words, _ = take_api_key(words)
    word = "" if line.endswith(" ") or not words else words.pop()  # at the cursor
    command = words[0] if words and words[0] in commands else None
    if command == "help":
        _offer(key for key in settings() if key.startswith(word))
    elif command is not None and (command not in OF_SETTINGS or (command == "probe" and word.startswith("-"))):
        _offer(_flags(words, word))  # where that is nothing, the shell offers its files
    else:
        if not words:
            _offer(name for name in commands if name.startswith(word))
        after_command = words[1:] if command is not None else words
        offers = _hydras(complete, " ".join((program, *after_command, word)))
        _offer(name for name in offers if command != "sim" or name.startswith(OF_SIM))
    return 0


def _hydras(complete: Callable[[], int], line: str) -> list[str]:
    """What Hydra offers for a line."""
    os.environ["COMP_LINE"] = line
    output = io.StringIO()
    try:
        with redirect_stdout(output):
            complete()
    except TrieError:
        return []
    return output.getvalue().split()


def _flags(words: Sequence[str], word: str) -> list[str]:
    """A command's flags that begin as the word at the cursor does, or the choices of the flag before it.

    Of a command that has commands of its own, these, or the flags of the one that was given.
    """
    command, *given = words
    actions = import_module(f"trie.cli.commands.{command}").parser()._actions  # noqa: SLF001 - argparse has no other way
    for action in actions:
        if isinstance(action.choices, dict):
            if not given:
                return [name for name in action.choices if name.startswith(word)]
            if given[0] in action.choices:
                actions = action.choices[given[0]]._actions  # noqa: SLF001 - as above
    for action in actions:
        if words[-1] in action.option_strings and action.choices is not None:
            return [choice for choice in map(str, action.choices) if choice.startswith(word)]
    flags = [flag for action in actions for flag in action.option_strings if flag.startswith("--")]
    return [flag for flag in flags if word.startswith("-") and flag.startswith(word)]


def _offer(names: Iterable[str]) -> None:
    if text := "\n".join(names):
        sys.stdout.write(text + "\n")
