"""`trie report`: every number of a run or a sweep again, from its files alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from trie import sweepdir
from trie.rundir import RunDir


def main(arguments: list[str]) -> int:
    """Summarize the directory of a run or a sweep, rewrite its report and print the tables.

    Raises:
        TrieError: when there is no run to read.
    """
    about = "Every number of a run or a sweep, from its files alone."
    parser = argparse.ArgumentParser(prog="trie report", description=about)
    parser.add_argument("directory", type=Path, metavar="DIR", help="the directory of a run or a sweep")
    parser.add_argument("--json", action="store_true", help="print summary.json, or a sweep's table, instead of tables")
    options = parser.parse_args(arguments)
    if sweepdir.is_sweep(options.directory):
        cells = [sweepdir.summarized(cell) for cell in sweepdir.find(options.directory)]
        (_json_of_sweep if options.json else show_sweep)(options.directory, cells)
    else:
        _run(options.directory, as_json=options.json)
    return 0


def _run(directory: Path, *, as_json: bool) -> None:
    run = RunDir.open(directory)
    summary = run.summarize()
    if as_json:
        print(json.dumps(summary.to_json(), indent=1))
        return
    from trie.cli.console import console  # noqa: PLC0415 - not for JSON
    from trie.report.tables import render  # noqa: PLC0415

    render(summary, run.manifest(), console())
    print(directory)


def show_sweep(directory: Path, cells: Sequence[sweepdir.Cell]) -> None:
    """Rewrite a sweep's report, print its headline, and last its directory alone on a line, for scripts.

    Raises:
        RunDirError: when the report can't be written.
    """
    from trie.cli.console import console  # noqa: PLC0415 - not for JSON
    from trie.sweep.report import write  # noqa: PLC0415
    from trie.sweep.terminal import show_headline  # noqa: PLC0415

    show_headline(write(directory, cells), console())
    print(directory, flush=True)


def _json_of_sweep(directory: Path, cells: Sequence[sweepdir.Cell]) -> None:
    from trie.sweep.report import write  # noqa: PLC0415 - pyarrow, and only here

    print(json.dumps(write(directory, cells), indent=1))
