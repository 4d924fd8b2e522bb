"""`trie report`: every number of a run again, from its files alone."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trie.rundir import RunDir


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(prog="trie report", description="Every number of a run, from its files alone.")
    made.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="the directory of a run")
    made.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    return made


def main(arguments: list[str]) -> int:
    """Summarize a run directory, rewrite its summary.json and print the tables.

    Raises:
        TrieError: when there is no run to read.
    """
    options = parser().parse_args(arguments)
    run = RunDir.open(options.run_dir)
    summary = run.summarize()
    if options.json:
        print(json.dumps(summary.to_json(), indent=1))
        return 0
    from trie.cli.console import console  # noqa: PLC0415 - not for JSON
    from trie.report.tables import render  # noqa: PLC0415

    render(summary, run.manifest(), console())
    print(options.run_dir)
    return 0
