"""`trie gate`: does a run or a sweep pass the rules of gate.yaml?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from trie.cli.arguments import Parser

if TYPE_CHECKING:
    from trie.decide.gate import Gated

EXIT_GATE = 4


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser(
        prog="trie gate",
        description="Judge a run or every cell of a sweep by the rules of a file: limits on numbers, an SLO, and how "
        "much worse than a baseline a number may be.",
        epilog="Exit code: 0 passed, 4 failed, 1 a mistake. docs/decisions.md has the keys of the file.",
    )
    arguments.add_argument("directory", type=Path, metavar="DIR", help="the directory of a run or a sweep")
    arguments.add_argument("--baseline", type=Path, metavar="DIR", help="a run or a sweep that margins are of")
    arguments.add_argument("--rules", type=Path, default=Path("gate.yaml"), metavar="FILE", help="default: gate.yaml")
    arguments.add_argument("--json", action="store_true", help="print the rulings as JSON")
    arguments.add_argument("--markdown", action="store_true", help="print them as Markdown, for a pull request")
    return arguments


def main(arguments: list[str]) -> int:
    """Judge and print.

    Raises:
        TrieError: for a mistake in the rules, and for what is no run.
    """
    options = parser().parse_args(arguments)
    from trie.decide.gate import gate, lines, read_rules, refuse_nothing  # numpy and pyarrow, not for --help

    gated = gate(options.directory, read_rules(options.rules), options.baseline)
    refuse_nothing(gated.rulings, options.rules)
    if options.json:
        print(json.dumps(gated.to_json(), indent=1))
    elif options.markdown:
        print(_markdown(gated, options.directory))
    else:
        print("\n".join(lines(gated)))
        unsure = sum(ruling.outcome == "unsure" for ruling in gated.rulings)
        doubt = f", {unsure} of {len(gated.rulings)} rules not sure" if unsure else ""
        print(f"{'FAILED' if gated.failed else 'PASSED'}{doubt}")
    return EXIT_GATE if gated.failed else 0


def _markdown(gated: Gated, directory: Path) -> str:
    from trie.report.markdown import literal, table

    word = "**failed**" if gated.failed else "passed"
    rows = ([ruling.outcome, *map(literal, (ruling.cell, ruling.rule, ruling.found))] for ruling in gated.rulings)
    return "\n".join([f"### Gate {word}: {literal(str(directory))}", "", *table(["", "cell", "rule", "found"], rows)])
