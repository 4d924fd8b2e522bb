"""The errors of the command line's libraries, in one line for people: the key, what was found, what is allowed."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import get_type_hints

from trie.config import CommandConfig
from trie.config.setting import Setting, settings_of
from trie.config.shipped_groups import no_such
from trie.errors import near_miss

GROUPS = ("workload", "endpoint", "concurrency", "load", "cluster", "profile", "experiment", "sweep", "search")
KEY_IN_FILE = (
    "api_key: is not a setting, so that no file holds it; use api_key=... on the command line or OPENAI_API_KEY"
)
OF_THE_SYSTEM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.EMFILE}
)  # reasons that are no bug of ours

_OVERRIDE = re.compile(r"Could not override '([^']+)'")
_UNKNOWN = re.compile(r"Key '([^']+)' (?:is )?not in ")
_OPTION = re.compile(r"Could not find '([^'/]+)/(.*?)'\n")
_OPTIONS = re.compile(r"Available options in '[^']+':\n((?:\t.*\n?)*)")
_MERGE = re.compile(r"Error merging override ([^\n]+)")
_FULL_KEY = re.compile(r"full_key: ([\w.]+)")
_FILE = re.compile(r"In '([^']+)': ")
_VALUE = re.compile(r"(?:Value|Invalid value|Incompatible value) '([^']*)'")
_OF_ANOTHER_TYPE = re.compile(
    r"could not be converted|not a valid|expected one of|not Optional|Incompatible value|Invalid value assigned|Cannot"
)
_GROUP = re.compile(r"is not a subclass of (\w+Config)\. value: (.*)")


def settings() -> dict[str, Setting]:
    """Every setting of a command line, by its dotted key."""
    return {setting.key: setting for setting in settings_of(CommandConfig)}


def unknown(key: str) -> str:
    """The error for a key that does not exist."""
    if key.rpartition(".")[2] == "api_key":
        return KEY_IN_FILE
    return f"{key}: no such key{_near_key(key, settings()) or '; trie help lists the keys'}"


def _near_key(key: str, keys: Iterable[str]) -> str:
    """The near miss, among its neighbours where its group is right, else by whole keys or by their last parts."""
    group, _, last = key.rpartition(".")
    neighbours = [name.removeprefix(f"{group}.") for name in keys if group and name.startswith(f"{group}.")]
    if neighbours:
        return near_miss(last, neighbours).replace("mean ", f"mean {group}.")
    if hint := near_miss(key.lower(), [*GROUPS, *keys, "api_key"]):
        return hint
    by_last_part = {name.rpartition(".")[2]: name for name in reversed(list(keys))}
    hint = near_miss(key.lower(), by_last_part)
    short = hint.removeprefix("; did you mean ").removesuffix("?")
    return f"; did you mean {by_last_part[short]}?" if hint else ""


def of_the_system(error: OSError) -> str:
    """What the system refused, and where it says so."""
    where = f"{error.filename}: " if error.filename else "the run's directory can't be written: "
    return f"{where}{error.strerror}"


def explain(error: BaseException) -> str:
    """Hydra's and OmegaConf's errors as one line."""
    text = str(error)
    whole = f"{text}\n{error.__cause__ or ''}"
    file = _FILE.match(text)
    where = f"{file[1]}: " if file is not None else ""
    if (override := _OVERRIDE.search(text)) is not None:
        return unknown(override[1])
    if (key := _UNKNOWN.search(whole)) is not None:
        return where + unknown(key[1])
    if (option := _OPTION.search(text)) is not None:
        return _no_option(option[1], option[2], _OPTIONS.search(text))
    if isinstance(typed := getattr(error, "override", None), str):
        return _no_override(typed, text)
    if (merge := _MERGE.search(text)) is not None:
        return _not_allowed(merge[1], merge[1], _lines(whole.replace(merge[0], ""))[0])
    return where + _of_a_file(whole)


def _of_a_file(text: str) -> str:
    """A value that a file sets and that has another type, or what else is wrong in it."""
    lines = [line for line in (_FILE.sub("", line) for line in _lines(text)) if "raised while composing" not in line]
    problem = "; ".join(lines) or "not a config"
    full_key = _FULL_KEY.search(text)
    if (group := _GROUP.search(problem)) is not None:
        return _whole_group(group, group[2])
    if full_key is None or full_key[1] in problem:
        return problem
    value = _VALUE.search(text)
    shown = "" if value is None else f"={'null' if value[1] == 'None' else value[1]}"
    return _not_allowed(full_key[1], f"{full_key[1]}{shown}", problem)


def _not_allowed(assignment: str, shown: str, problem: str) -> str:
    """The line for a value of another type: what the setting allows where it is one, else the library's own words."""
    key = assignment.lstrip("+~").partition("=")[0].partition("@")[0]
    if (group := _GROUP.search(problem)) is not None:
        return _whole_group(group, assignment.partition("=")[2])
    setting = settings().get(key)
    if setting is None or _OF_ANOTHER_TYPE.search(problem) is None:
        return f"{shown}: {problem}"
    return f"{shown}: must be {setting.wanted}"


def _whole_group(problem: re.Match[str], value: str) -> str:
    """One value for a whole group of settings."""
    names = {kind.__name__: name for name, kind in get_type_hints(CommandConfig).items() if isinstance(kind, type)}
    group = names.get(problem[1], problem[1])
    example = next((key for key in settings() if key.startswith(f"{group}.")), f"{group}.KEY")
    return f"{group}={value}: is a group of settings; set them one by one, such as {example}"


def _no_override(typed: str, text: str) -> str:
    if "=" not in typed:
        return f"{typed}: is not a setting (KEY=VALUE); a command such as report or sim comes first"
    return f"{typed}: {_lines(text)[0]}; a value that contains ~ , = ( [ or {{ needs quotes of its own"


def _no_option(group: str, option: str, listing: re.Match[str] | None) -> str:
    options = listing[1].split() if listing is not None else []
    return no_such(group, option, sorted(options, key=lambda name: (len(name), name) if name.isdigit() else (0, name)))


def _lines(text: str) -> list[str]:
    """The lines that tell a person something, each once."""
    lines = (line.strip() for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not _noise(line)))


def _noise(line: str) -> bool:
    """Lines on where in a library an error came up, or that repeat the line before them."""
    return line.startswith(
        ("[Errno", "full_key:", "object_type=", "reference_type=", "To append to your config", "See https:")
    )
