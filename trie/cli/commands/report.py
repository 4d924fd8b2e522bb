"""`trie report`: every number of a run or a sweep again, from its files alone, and the pages that show them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trie.cli.arguments import Parser
from trie.errors import ReportError, RunDirError
from trie.storage import sweep_dir
from trie.storage.run_dir import FOLDERS, REPORT, RunDir
from trie.storage.run_lock import goes_on

if TYPE_CHECKING:
    from trie.metrics.evaluate_run import EvaluatedRun

FORMATS = ("svg", "png")


def parser() -> Parser:
    """The command's arguments."""
    about = "Every number of a run or a sweep, from its files alone."
    arguments = Parser(prog="trie report", description=about)
    latest = f"the directory of a run or a sweep (default: the latest below {' and '.join(FOLDERS)})"
    arguments.add_argument("directory", type=Path, nargs="?", metavar="DIR", help=latest)
    arguments.add_argument("--open", action="store_true", help="open the page in the browser")
    arguments.add_argument(
        "--json", action="store_true", help="print summary.json, or a sweep's table, instead of tables"
    )
    arguments.add_argument("--markdown", action="store_true", help="print Markdown, for comments and CI summaries")
    arguments.add_argument(
        "--forecast", type=Path, metavar="SWEEP", help="of a sweep: lay the curves of a sweep in virtual time behind"
    )
    arguments.add_argument("--no-html", action="store_true", help="leave a run's report.html as it is")
    arguments.add_argument(
        "--plots", type=Path, metavar="DIR", help="write each plot of the page into a file of its own in DIR"
    )
    arguments.add_argument("--format", choices=FORMATS, default="svg", help="of the files of --plots (default: svg)")
    return arguments


def main(arguments: list[str]) -> int:
    """Summarize a run or a sweep, rewrite its numbers and its page where that can be done, and print the tables.

    Raises:
        TrieError: when there is no run to read, or plots can't be written.
    """
    options = parser().parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported: the blocks have threads of their own
    if options.directory is None:
        from trie.report.run_list import latest  # numpy, not for --help

        options.directory = latest([Path(folder) for folder in FOLDERS])
    if sweep_dir.is_sweep(options.directory):
        _sweep(options)
    elif options.forecast is not None:
        raise ReportError(f"--forecast {options.forecast}: goes with a sweep; {options.directory} is a run")
    else:
        _run(options)
    return 0


def _sweep(options: argparse.Namespace) -> None:
    from trie.metrics.evaluate_run import summarized  # numpy and pyarrow, not for --help
    from trie.sweep import page

    directory, forecast = options.directory, options.forecast
    cells = [summarized(cell) for cell in sweep_dir.find(directory)]
    behind = [summarized(cell) for cell in sweep_dir.find(forecast)] if forecast is not None else []
    measured = next((cell for cell in behind if cell.config.get("clock") != "virtual"), None)
    if measured is not None:
        raise ReportError(f"--forecast {forecast}: {measured.path.name} is not of virtual time; trie compare has those")
    rows = page.write(directory, cells, behind)
    if options.plots is not None:
        page.page(directory, rows).save_plots(options.plots, options.format)
    if options.json:
        print(json.dumps(rows, indent=1))
    elif options.markdown:
        from trie.sweep.markdown import sweep_markdown

        print(sweep_markdown(directory, rows), end="")
    else:
        from trie.cli.console import console  # not for JSON
        from trie.sweep.terminal import show_headline

        show_headline(rows, console())
        print(directory, flush=True)
    if options.open:
        _open(directory / page.PAGE)


def _run(options: argparse.Namespace) -> None:
    from trie.metrics.evaluate_run import evaluate  # numpy and pyarrow, not for --help
    from trie.report.page import page_of

    run = RunDir.open(options.directory)
    if run.manifest().end is None and goes_on(run.path):
        from trie.report.live import evaluate_so_far  # the replay's own modules, not for a run that has ended

        evaluated = evaluate_so_far(run)
        print(f"trie: {run.path} goes on: these are its numbers so far, and nothing is written", file=sys.stderr)
    else:
        evaluated = evaluate(run)
        _write(evaluated, page=not options.no_html)
    if options.plots is not None:
        page_of(evaluated).save_plots(options.plots, options.format)
    if options.json:
        print(json.dumps(evaluated.summary.to_json(), indent=1))
    elif options.markdown:
        from trie.report.markdown import run_markdown

        print(run_markdown(evaluated), end="")
    else:
        from trie.cli.console import console  # not for JSON
        from trie.report.terminal import render

        render(evaluated.summary, evaluated.manifest, console())
        print(options.directory)
    if options.open:
        _open(run.path / REPORT)


def _open(page: Path) -> None:
    import webbrowser  # for --open alone

    if not page.is_file():
        raise ReportError(f"--open: there is no {page}; leave out --no-html")
    if not webbrowser.open(page.absolute().as_uri()):
        raise ReportError(f"--open: no browser is found here; open {page.absolute()} in one")


def _write(evaluated: EvaluatedRun, *, page: bool) -> None:
    """The numbers and the page, or why they are not kept: they are shown all the same, as of somebody else's run."""
    from trie.report.page import write_page

    try:
        evaluated.run.write_summary(evaluated.summary.to_json())
    except RunDirError as error:
        print(f"trie: {error}; shown, and not kept", file=sys.stderr)
    if not page:
        return
    try:
        write_page(evaluated)
    except ReportError as error:
        print(f"trie: {error}", file=sys.stderr)
