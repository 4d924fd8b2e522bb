"""docs/configuration.md has every key, with the default that the code has, and no other."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

import trie
from trie.cli.errors import GROUPS, keys
from trie.config import FAULTS, RunConfig

PAGE = (Path(trie.__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w.]+)` \| [^|]+ \| ([^|]+) \|(?: [^|]*\|){2}$", re.MULTILINE)
ROWS = {match[1]: match[2] for match in ROW.finditer(PAGE)}


def defaults(schema: Any = RunConfig, prefix: str = "") -> dict[str, str]:
    """Every key with its default, as YAML writes it."""
    found: dict[str, str] = {}
    for field in fields(schema):
        kind = get_type_hints(schema)[field.name]
        if is_dataclass(kind):
            found |= defaults(kind, f"{prefix}{field.name}.")
            continue
        value = field.default_factory() if field.default_factory is not MISSING else field.default
        if isinstance(value, Enum):
            value = value.name
        found[prefix + field.name] = {None: "null", True: "true", False: "false"}.get(
            value if value is None or isinstance(value, bool) else "other", str(value)
        )
    return found


def test_every_key_is_documented_with_its_default() -> None:
    documented = {key: text.strip() for key, text in ROWS.items() if key not in GROUPS}
    assert documented == defaults()
    assert set(documented) == set(keys())


def test_groups_and_faults_are_documented() -> None:
    assert all(f"| `{group}` |" in PAGE for group in GROUPS)
    assert all(f"`{fault}`" in PAGE for fault in FAULTS)
