"""What the Tab key offers: Hydra's groups and keys, and the commands in front of them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Collection
from contextlib import redirect_stdout
from importlib import import_module

from trie.cli.secrets import take_api_key
from trie.errors import TrieError

OF_SIM = ("profile", "sim.")
OF_SETTINGS = ("sim", "probe")  # commands that take settings as a run does


def answer(complete: Callable[[], int], commands: Collection[str]) -> int:
    """Print what fits the line in COMP_LINE, on which `complete` is Hydra's own answer; a line in error has none."""
    line = os.environ.get("COMP_LINE", "")
    program, *words = line.split() or [""]
    words, _ = take_api_key(words)
    command = words[0] if len(words) > (not line.endswith(" ")) else None
    on_flag = command == "probe" and words[-1].startswith("-") and not line.endswith(" ")
    if command is not None and command in commands and (on_flag or command not in OF_SETTINGS):
        _offer(_flags(command, words, line))
        return 0  # where that is nothing, the shell offers its files
    if command in OF_SETTINGS:
        words = words[1:]
    last = words[-1] if words and not line.endswith(" ") else ""
    if last == (words or [""])[0] and command not in OF_SETTINGS and len(words) < 2:
        _offer([name for name in commands if name.startswith(last)])
    ending = " " if line.endswith(" ") else ""
    os.environ["COMP_LINE"] = " ".join((program, *words)) + ending
    offered = io.StringIO()
    try:
        with redirect_stdout(offered):
            complete()
    except TrieError:
        return 0
    _offer([name for name in offered.getvalue().split() if command != "sim" or name.startswith(OF_SIM)])
    return 0


def _flags(command: str, words: list[str], line: str) -> list[str]:
    """A command's flags that begin as the word at the cursor does, or the choices of the flag before it."""
    word = "" if line.endswith(" ") else words[-1]
    before = words[-1] if line.endswith(" ") else words[-2]
    actions = import_module(f"trie.cli.commands.{command}").parser()._actions  # noqa: SLF001 - argparse has no other way
    for action in actions:
        if before in action.option_strings and action.choices is not None:
            return [choice for choice in map(str, action.choices) if choice.startswith(word)]
    flags = [flag for action in actions for flag in action.option_strings if flag.startswith("--")]
    return [flag for flag in flags if word.startswith("-") and flag.startswith(word)]


def _offer(names: list[str]) -> None:
    if names:
        sys.stdout.write("\n".join(names) + "\n")
