"""`trie export`: a run in the formats of other tools."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from trie.cli.arguments import Parser
from trie.errors import ConfigError, RunDirError
from trie.storage import sweep_dir
from trie.storage.run_dir import RunDir, whole

if TYPE_CHECKING:
    from trie.metrics.evaluate_run import EvaluatedRun

FORMATS = ("vllm", "aiperf", "csv")


def parser() -> Parser:
    """The command's arguments."""
    description = (
        "A run in other tools' formats: the JSON of `vllm bench serve --save-result`, the lines of AIPerf's "
        "profile_export.jsonl, or CSV."
    )
    arguments = Parser(prog="trie export", description=description)
    arguments.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="the directory of a run")
    arguments.add_argument("--format", choices=FORMATS, required=True)
    arguments.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of standard output")
    arguments.add_argument("--detailed", action="store_true", help="vllm: also the lists of --save-detailed")
    arguments.add_argument("--summary", action="store_true", help="csv: the summary's numbers instead of the requests")
    return arguments


def main(arguments: list[str]) -> int:
    """Write the export.

    Raises:
        TrieError: when there is no run to read, or the file can't be written.
    """
    options = parser().parse_args(arguments)
    for flag, owner in (("detailed", "vllm"), ("summary", "csv")):
        if getattr(options, flag) and options.format != owner:
            raise ConfigError(f"--{flag}: goes with --format {owner}, found --format {options.format}")
    if sweep_dir.is_sweep(options.run_dir):
        raise RunDirError(f"{options.run_dir}: is a sweep; give the directory of one of its runs")
    run = RunDir.open(options.run_dir)
    from trie.metrics.evaluate_run import evaluate  # numpy and pyarrow, after mistakes

    finished = evaluate(run)
    if options.output is None:
        _write(options, finished, sys.stdout)
        return 0
    with whole(options.output) as aside, aside.open("w", encoding="utf-8", newline="") as out:
        _write(options, finished, out)
    return 0


def _write(options: argparse.Namespace, run: EvaluatedRun, out: IO[str]) -> None:
    if options.format == "aiperf":
        from trie.export import aiperf

        for line in aiperf.export(run):
            out.write(json.dumps(line, allow_nan=False) + "\n")
    elif options.format == "vllm":
        from trie.export import vllm

        out.write(json.dumps(vllm.export(run, detailed=options.detailed), allow_nan=False) + "\n")
    else:
        from trie.export import csv

        (csv.write_summary if options.summary else csv.write_requests)(run, out)
