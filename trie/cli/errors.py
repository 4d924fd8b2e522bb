"""What a person reads when something can't be done: one line, with the near miss where there is one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from trie.config import RunConfig

GROUPS = ("workload", "endpoint", "concurrency", "profile", "experiment", "sweep")
OPEN_FORMS = {
    "concurrency": "any whole number from 1",
    "workload": "the path of a JSONL file",
    "endpoint": "a URL up to and including /v1",
    "experiment": "the path of a .yaml file",
}
_UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")
_UNKNOWN_OPTION = re.compile(r"Could not find '([^'/]+)/([^']+)'")
_LISTED = re.compile(r"Available options in '[^']+':\n((?:\t\S.*\n?)+)")


def keys(schema: Any = RunConfig, prefix: str = "") -> Iterable[str]:
    """Every key of the run config, dotted."""
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


def explain(error: BaseException) -> str:
    """Hydra's and OmegaConf's errors as one line, or two where options are listed."""
    text = str(error)
    key = _UNKNOWN_KEY.search(text)
    if key is not None and "not in" in f"{text} {error.__cause__}":
        hint = near_miss(key[1], [*GROUPS, *keys()]) or "; trie --help lists the keys"
        return f"{key[1]}: no such key{hint}"
    option = _UNKNOWN_OPTION.search(text)
    if option is not None:
        return _no_option(option[1], option[2], _LISTED.search(text))
    override = getattr(error, "override", None)
    if isinstance(override, str):
        return f"{override}: not of the form key=value in Hydra's grammar ({text.splitlines()[0]}); quote it?"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _noise(line)]
    cause = error.__cause__
    if cause is not None and str(cause) not in text:
        lines += [line.strip() for line in str(cause).splitlines() if line.strip() and not _noise(line)][:1]
    return "; ".join(lines) or type(error).__name__


def _no_option(group: str, option: str, listed: re.Match[str] | None) -> str:
    names = listed[1].split() if listed is not None else []
    hint = "" if option.isdigit() else near_miss(option, names)
    allowed = [*names, OPEN_FORMS[group]] if group in OPEN_FORMS else names
    return f"{group}={option}: no such option{hint}; must be one of {', '.join(allowed)}"


def _noise(line: str) -> bool:
    """Lines that tell a person nothing: where in a library the error came up."""
    bare = line.strip()
    return bare.startswith(("full_key:", "object_type=", "reference_type=", "To append to your config", "See https:"))
