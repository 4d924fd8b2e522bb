"""`trie report`: every number of a run again, from its files alone, and the page and plots that show them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from trie.errors import ReportError
from trie.evaluated import Evaluated
from trie.rundir import RunDir

FORMATS = ("svg", "png")


def main(arguments: list[str]) -> int:
    """Summarize a run directory, rewrite its summary.json and its page, and print the tables.

    Raises:
        TrieError: when there is no run to read, or plots can't be written.
    """
    parser = argparse.ArgumentParser(prog="trie report", description="Every number of a run, from its files alone.")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="the directory of a run")
    parser.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    parser.add_argument("--no-html", action="store_true", help="leave report.html as it is")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write each plot into a file of its own in DIR")
    parser.add_argument("--format", choices=FORMATS, default="svg", help="of the files of --plots (default: svg)")
    options = parser.parse_args(arguments)
    run = RunDir.open(options.run_dir)
    evaluated = Evaluated.of(run)
    if not options.no_html:
        _write_page(evaluated)
    if options.plots is not None:
        evaluated.write_plots(options.plots, options.format)
    if options.json:
        print(json.dumps(evaluated.summary.to_json(), indent=1))
        return 0
    from trie.cli.console import console  # noqa: PLC0415 - not for JSON
    from trie.report.tables import render  # noqa: PLC0415

    render(evaluated.summary, evaluated.manifest, console())
    print(options.run_dir)
    return 0


def _write_page(evaluated: Evaluated) -> None:
    """The page, or why there is none: the numbers are shown all the same, as of somebody else's run."""
    try:
        evaluated.write_page()
    except ReportError as error:
        print(f"trie: {error}", file=sys.stderr)
