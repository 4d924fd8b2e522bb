"""What a person reads when something can't be done: one line, with the near miss where there is one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from trie.config import RunConfig

GROUPS = ("workload", "endpoint", "concurrency", "profile", "experiment", "sweep")
_UNKNOWN = re.compile(r"Could not override '([^']+)'")


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
    unknown = _UNKNOWN.search(text)
    if unknown is not None and "not in struct" in f"{text} {error.__cause__}":
        key = unknown[1]
        hint = near_miss(key, [*GROUPS, *keys()]) or "; trie --help lists the keys"
        return f"{key}: no such key{hint}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _noise(line)]
    cause = error.__cause__
    if cause is not None and str(cause) not in text:
        lines += [line.strip() for line in str(cause).splitlines() if line.strip() and not _noise(line)][:1]
    return "; ".join(lines) or type(error).__name__


def _noise(line: str) -> bool:
    """Lines that tell a person nothing: where in a library the error came up."""
    bare = line.strip()
    return bare.startswith(("full_key:", "object_type=", "reference_type=", "To append to your config", "See https:"))
