"""What a person reads when something can't be done: one line, with the near miss where there is one."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from trie.config import CommandConfig

GROUPS = ("workload", "endpoint", "concurrency", "profile", "experiment", "sweep")
ALSO = {
    "workload": "or the path of a JSONL file (with a / in it)",
    "endpoint": "or a URL (http://HOST:PORT/v1)",
    "concurrency": "or any number from 1 up",
    "experiment": "or a .yaml file",
}
KEY_IN_FILE = "api_key: no setting, so that no file holds it; use api_key=... on the command line or OPENAI_API_KEY"
OF_THE_SYSTEM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.EMFILE}
)  # what no bug of ours is the reason of

_OVERRIDE = re.compile(r"Could not override '([^']+)'")
_UNKNOWN = re.compile(r"Key '([^']+)' (?:is )?not in ")
_OPTION = re.compile(r"Could not find '([^'/]+)/(.*?)'\n")
_OPTIONS = re.compile(r"Available options in '[^']+':\n((?:\t.*\n?)*)")
_MERGE = re.compile(r"Error merging override ([^\n]+)")
_FULL_KEY = re.compile(r"full_key: ([\w.]+)")
_FILE = re.compile(r"In '([^']+)': ")


def keys(schema: Any = CommandConfig, prefix: str = "") -> Iterable[str]:
    """Every key of a command line, dotted."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        kind = hints[field.name]
        if is_dataclass(kind):
            yield from keys(kind, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def near_miss(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` when there is an X, else nothing."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def unknown(key: str) -> str:
    """What to say of a key that does not exist."""
    if key.rpartition(".")[2] == "api_key":
        return KEY_IN_FILE
    return f"{key}: no such key{_near_key(key) or '; trie --help lists the keys'}"


def _near_key(key: str) -> str:
    """The near miss, among its neighbours where its group is right."""
    group, _, last = key.rpartition(".")
    names = [name.removeprefix(f"{group}.") for name in keys() if group and name.startswith(f"{group}.")]
    if names:
        return near_miss(last, names).replace("mean ", f"mean {group}.")
    return near_miss(key.lower(), [*GROUPS, *keys(), "api_key"])


def of_the_system(error: OSError) -> str:
    """What the system refused, and where it says so."""
    where = f"{error.filename}: " if error.filename else "the run's directory can't be written: "
    return f"{where}{error.strerror}"


def explain(error: BaseException) -> str:
    """Hydra's and OmegaConf's errors as one line, or two where options are listed."""
    text = str(error)
    whole = f"{text}\n{error.__cause__ or ''}"
    where = _FILE.match(text)
    if (override := _OVERRIDE.search(text)) is not None:
        return unknown(override[1])
    if (key := _UNKNOWN.search(whole)) is not None:
        return f"{where[1]}: {unknown(key[1])}" if where is not None else unknown(key[1])
    if (option := _OPTION.search(text)) is not None:
        return _no_option(option[1], option[2], _OPTIONS.search(text))
    if isinstance(typed := getattr(error, "override", None), str):
        return _no_override(typed, text)
    if (merge := _MERGE.search(text)) is not None:
        return f"{merge[1]}: {_lines(whole.replace(merge[0], ''))[0]}"
    said = "; ".join(_lines(whole)) or type(error).__name__
    named = _FULL_KEY.search(whole)
    return said if named is None or named[1] in said else f"{named[1]}: {said}"


def _no_override(typed: str, text: str) -> str:
    if "=" not in typed:
        return f"{typed}: no setting, which is KEY=VALUE; a command such as report or sim comes first"
    return f"{typed}: {_lines(text)[0]}; a value with any of ~ , = ( [ {{ in it needs quotes of its own"


def _no_option(group: str, option: str, listed: re.Match[str] | None) -> str:
    options = listed[1].split() if listed is not None else []
    allowed = sorted(options, key=lambda name: (len(name), name) if name.isdigit() else (0, name))
    hint = "" if group == "concurrency" else near_miss(option, options)
    also = f", {ALSO[group]}" if group in ALSO else ""
    return f"{group}={option}: no such {group}{hint}\navailable: {', '.join(allowed)}{also}"


def _lines(text: str) -> list[str]:
    """The lines that tell a person something, each once."""
    lines = (line.strip() for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not _noise(line)))


def _noise(line: str) -> bool:
    """Lines on where in a library an error came up, or that repeat the line before them."""
    return line.startswith(
        ("[Errno", "full_key:", "object_type=", "reference_type=", "To append to your config", "See https:")
    )
