"""A sweep's report, as `trie report` and the end of a sweep show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from trie.sweep.report import write
from trie.sweepdir import Cell


def show(directory: Path, cells: Sequence[Cell]) -> None:
    """Rewrite a sweep's report, print its headline, and last its directory alone on a line, for scripts.

    Raises:
        TrieError: when the report can't be written.
    """
    from trie.cli.console import console  # noqa: PLC0415 - not for JSON
    from trie.sweep.terminal import show_headline  # noqa: PLC0415

    show_headline(write(directory, cells), console())
    print(directory, flush=True)


def show_json(directory: Path, cells: Sequence[Cell]) -> None:
    """Rewrite a sweep's report and print its table.

    Raises:
        TrieError: when the report can't be written.
    """
    print(json.dumps(write(directory, cells), indent=1))
