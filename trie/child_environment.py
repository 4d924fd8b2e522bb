"""The environment of a process of ours that runs a module of the package."""

from __future__ import annotations

import os
from pathlib import Path

import trie


def child_environment() -> dict[str, str]:
    """Our own, with the package findable from any folder and without keys, which no child has a use for."""
    kept = {key: value for key, value in os.environ.items() if not key.endswith(("API_KEY", "TOKEN"))}
    paths = [str(Path(trie.__file__).parent.parent), kept.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
