"""`trie compare`: runs or sweeps side by side."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trie.cli.arguments import Parser
from trie.errors import ConfigError

EXIT_GATE = 4  # a --fail-if is true; 1 is a mistake, as everywhere


def parser() -> Parser:
    """The command's arguments."""
    description = "Differences of runs or sweeps from the first of them, with their intervals."
    arguments = Parser(prog="trie compare", description=description)
    arguments.add_argument(
        "sides",
        nargs="+",
        metavar="DIR",
        help="runs or sweeps; the first is the baseline; A1,A2 are repeats of one side",
    )
    arguments.add_argument("--json", action="store_true", help="print everything as JSON instead of tables")
    arguments.add_argument("--markdown", action="store_true", help="print Markdown, for comments and CI summaries")
    arguments.add_argument("--html", type=Path, metavar="FILE", help="write a page that needs no network")
    arguments.add_argument("--all", action="store_true", help="every number and statistic in the tables")
    arguments.add_argument("--label", action="append", metavar="NAME", help="of a side, once for each in their order")
    condition = 'exit with 4 when this is true: "ttft_s.p99 > +10%%"; may be given more than once'
    arguments.add_argument("--fail-if", action="append", default=[], metavar="CONDITION", help=condition)
    margin = "call repeated runs equivalent where they differ by less: 2%%"
    arguments.add_argument("--margin", metavar="SHARE", help=margin)
    for flag, default in (("--resamples", 1000), ("--seed", 0)):  # of the bootstrap that older versions made
        arguments.add_argument(flag, type=int, default=default, help="without effect: nothing is resampled any more")
    arguments.add_argument("--confidence", type=float, default=0.95, help="of the intervals (default: 0.95)")
    return arguments


def main(arguments: list[str]) -> int:
    """Compare, show and judge; returns 0, or 4 when a gate failed.

    Raises:
        TrieError: for what is no run, no metric or no condition.
    """
    options = parser().parse_args(arguments)
    if len(options.sides) < 2:
        raise ConfigError(f"{options.sides[0]}: nothing to compare with; give two runs or sweeps, or more")
    _refuse(options)
    from trie.compare import gates  # numpy and pyarrow, after mistakes

    conditions = [gates.parse(text) for text in options.fail_if]
    from trie.compare.comparison import LABELS, compare
    from trie.compare.differences import Settings
    from trie.compare.matching import split

    settings = Settings(options.resamples, options.seed, options.confidence, margin=_margin(options.margin))
    comparison = compare(split(options.sides), settings, conditions, options.label or LABELS)
    if options.html is not None:
        from trie.compare.page import write

        write(comparison, options.html)
    if options.json:
        print(json.dumps(comparison.to_json(), indent=1, allow_nan=False))
    elif options.markdown:
        from trie.compare.markdown import comparison_markdown

        print(comparison_markdown(comparison), end="")
    else:
        from trie.cli.console import console
        from trie.compare.terminal import render

        render(comparison, console(), everything=options.all)
    return EXIT_GATE if comparison.failed else 0


def _margin(text: str | None) -> float | None:
    """A share, typed as 2% or 0.02."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise ConfigError(f"--margin {text}: must be above 0 and below 100%, such as 2%")
    return share


def _refuse(options: argparse.Namespace) -> None:
    labels = options.label
    if labels and (len(labels) != len(options.sides) or len(set(labels)) != len(labels)):
        raise ConfigError(f"--label {', '.join(labels)}: one for each of the {len(options.sides)} sides, none twice")
    if options.resamples < 100:
        raise ConfigError(f"--resamples {options.resamples}: must be 100 or more")
    if not 0 < options.confidence < 1:
        raise ConfigError(f"--confidence {options.confidence}: must be between 0 and 1")
    if options.seed < 0:
        raise ConfigError(f"--seed {options.seed}: must be 0 or more")
