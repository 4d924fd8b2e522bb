"""`trie ls`: the runs and sweeps below a folder, newest first."""

from __future__ import annotations

import json
from pathlib import Path

from trie.cli.arguments import Parser
from trie.storage.run_dir import FOLDERS


def parser() -> Parser:
    """The command's arguments."""
    about = "The runs and sweeps below a folder, newest first: verdict and the numbers that are looked for first."
    arguments = Parser(prog="trie ls", description=about)
    where = f"a folder of runs, or a sweep for its cells (default: {', '.join(f'{folder}/' for folder in FOLDERS)})"
    arguments.add_argument("directory", type=Path, nargs="?", metavar="DIR", help=where)
    arguments.add_argument("--json", action="store_true", help="print a list of JSON objects instead of a table")
    arguments.add_argument("-n", type=int, metavar="N", help="the newest N alone")
    return arguments


def main(arguments: list[str]) -> int:
    """List what is there.

    Raises:
        TrieError: when there is no such folder.
    """
    options = parser().parse_args(arguments)
    from trie.report.run_list import runs_below  # numpy, not for --help

    here = Path()
    folders = [options.directory] if options.directory else [here / name for name in FOLDERS if (here / name).is_dir()]
    entries = sorted(
        (entry for folder in folders for entry in runs_below(folder)), key=lambda entry: entry.started, reverse=True
    )[: options.n]
    if options.json:
        print(json.dumps([entry.to_json() for entry in entries], indent=1))
        return 0
    if not entries:
        print(f"no runs below {', '.join(map(str, folders)) or Path.cwd()}")
        return 0
    from trie.cli.console import console
    from trie.report.list_table import show_list

    show_list(entries, options.directory or here, console())
    return 0
