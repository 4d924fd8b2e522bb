"""`trie report`: every number of a run or a sweep again, from its files alone, and the pages that show them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trie.cli.arguments import Parser
from trie.errors import ReportError, RunDirError
from trie.storage import sweep_dir
from trie.storage.run_dir import RunDir

if TYPE_CHECKING:
    from trie.metrics.evaluate_run import EvaluatedRun

FORMATS = ("svg", "png")


def parser() -> Parser:
    """The command's arguments."""
    about = "Every number of a run or a sweep, from its files alone."
    arguments = Parser(prog="trie report", description=about)
    arguments.add_argument("directory", type=Path, metavar="DIR", help="the directory of a run or a sweep")
    arguments.add_argument(
        "--json", action="store_true", help="print summary.json, or a sweep's table, instead of tables"
    )
    arguments.add_argument(
        "--forecast", type=Path, metavar="SWEEP", help="of a sweep: lay the curves of a sweep in virtual time behind"
    )
    arguments.add_argument("--no-html", action="store_true", help="leave a run's report.html as it is")
    arguments.add_argument(
        "--plots", type=Path, metavar="DIR", help="write each plot of a run into a file of its own in DIR"
    )
    arguments.add_argument("--format", choices=FORMATS, default="svg", help="of the files of --plots (default: svg)")
    return arguments


def main(arguments: list[str]) -> int:
    """Summarize a run or a sweep, rewrite its numbers and its page where that can be done, and print the tables.

    Raises:
        TrieError: when there is no run to read, or plots can't be written.
    """
    options = parser().parse_args(arguments)
    if sweep_dir.is_sweep(options.directory):
        _sweep(options.directory, options.forecast, as_json=options.json)
        return 0
    if options.forecast is not None:
        raise ReportError(f"--forecast {options.forecast}: goes with a sweep; {options.directory} is a run")
    _run(options)
    return 0


def _sweep(directory: Path, forecast: Path | None, *, as_json: bool) -> None:
    from trie.metrics.evaluate_run import summarized  # numpy and pyarrow, not for --help

    cells = [summarized(cell) for cell in sweep_dir.find(directory)]
    behind = [summarized(cell) for cell in sweep_dir.find(forecast)] if forecast is not None else []
    measured = next((cell for cell in behind if cell.config.get("clock") != "virtual"), None)
    if measured is not None:
        raise ReportError(f"--forecast {forecast}: {measured.path.name} is not of virtual time; trie compare has those")
    if as_json:
        from trie.sweep.page import write

        print(json.dumps(write(directory, cells, behind), indent=1))
        return
    from trie.cli import sweeper  # not for a run

    sweeper.show(directory, cells, behind)


def _run(options: argparse.Namespace) -> None:
    from trie.metrics.evaluate_run import evaluate  # numpy and pyarrow, not for --help
    from trie.report.page import page_of

    run = RunDir.open(options.directory)
    evaluated = evaluate(run)
    try:
        run.write_summary(evaluated.summary.to_json())
    except RunDirError as error:  # a full disk, somebody else's run: its numbers can be read all the same
        print(f"trie: {error}; shown, and not kept", file=sys.stderr)
    if not options.no_html:
        _write_page(evaluated)
    if options.plots is not None:
        page_of(evaluated).save_plots(options.plots, options.format)
    if options.json:
        print(json.dumps(evaluated.summary.to_json(), indent=1))
        return
    from trie.cli.console import console  # not for JSON
    from trie.report.terminal import render

    render(evaluated.summary, evaluated.manifest, console())
    print(options.directory)


def _write_page(evaluated: EvaluatedRun) -> None:
    """The page, or why there is none: the numbers are shown all the same, as of somebody else's run."""
    from trie.report.page import write_page

    try:
        write_page(evaluated)
    except ReportError as error:
        print(f"trie: {error}", file=sys.stderr)
