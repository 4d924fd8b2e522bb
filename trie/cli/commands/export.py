"""`trie export`: a run in the formats of other tools."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import IO, Any

from trie.cli.arguments import Parser
from trie.errors import ConfigError, RunDirError
from trie.storage import sweep_dir
from trie.storage.run_dir import RunDir, whole

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
    rows, manifest = run.records(), run.manifest()
    if options.output is None:
        _write(options, rows, manifest, sys.stdout)
        return 0
    with whole(options.output) as aside, aside.open("w", encoding="utf-8", newline="") as out:
        _write(options, rows, manifest, out)
    return 0


def _write(options: argparse.Namespace, rows: Any, manifest: dict[str, Any], out: IO[str]) -> None:
    from trie.metrics.summary import summarize  # numpy and pyarrow, after mistakes

    if options.format == "aiperf":
        from trie.export import aiperf

        for line in aiperf.export(rows, manifest):
            out.write(json.dumps(line, allow_nan=False) + "\n")
    elif options.format == "vllm":
        from trie.export import vllm

        wall_time_s = summarize(rows, manifest).wall_time_s
        content = vllm.export(rows, manifest, wall_time_s=wall_time_s, detailed=options.detailed)
        out.write(json.dumps(content, allow_nan=False) + "\n")
    else:
        from trie.export import csv

        if options.summary:
            csv.write_summary(summarize(rows, manifest).to_json(), out)
        else:
            csv.write_requests(rows, manifest, out)
