"""`trie report`: every number of a run again, from its files alone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from trie.errors import RunDirError
from trie.rundir import RunDir


def main(arguments: list[str]) -> int:
    """Summarize a run directory, rewrite its summary.json where that can be done, and print the tables.

    Raises:
        TrieError: when there is no run to read.
    """
    parser = argparse.ArgumentParser(prog="trie report", description="Every number of a run, from its files alone.")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="the directory of a run")
    parser.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    options = parser.parse_args(arguments)
    run = RunDir.open(options.run_dir)
    summary = run.compute()
    try:
        run.write_summary(summary)
    except RunDirError as error:  # a full disk, somebody else's run: its numbers can be read all the same
        print(f"trie: {error}; shown, and not kept", file=sys.stderr)
    if options.json:
        print(json.dumps(summary.to_json(), indent=1))
        return 0
    from trie.cli.console import console  # noqa: PLC0415 - not for JSON
    from trie.report.tables import render  # noqa: PLC0415

    render(summary, run.manifest(), console())
    print(options.run_dir)
    return 0
