"""trie: trace replay inference evaluation.

The public API; everything is loaded on first use, so that importing trie costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trie import config
    from trie.api import Client
    from trie.errors import TrieError
    from trie.metrics.summary import Summary
    from trie.results import load
    from trie.run import Result
    from trie.workload.trace import Trace

__all__ = ["Client", "Result", "Summary", "Trace", "TrieError", "__version__", "config", "load"]

_HOMES = {
    "Client": "trie.api",
    "Result": "trie.run",
    "Summary": "trie.metrics.summary",
    "Trace": "trie.workload.trace",
    "TrieError": "trie.errors",
    "load": "trie.results",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module, metadata  # this module stays light

    if name == "__version__":
        try:
            return metadata.version("trie")
        except metadata.PackageNotFoundError:  # run from a checkout that was never installed
            return "0+unknown"
    if name == "config":
        return import_module("trie.config")
    if name not in _HOMES:
        raise AttributeError(f"module 'trie' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
