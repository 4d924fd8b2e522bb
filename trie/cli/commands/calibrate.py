"""`trie calibrate`: how far this client can be trusted on this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from trie.cli.arguments import Parser


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser(
        prog="trie calibrate",
        description="Measure this client against the embedded endpoint on this machine: its error at a load, and the "
        "highest rate it can read. With a run's directory: at that run's load, which its report cites from then on.",
    )
    arguments.add_argument("run_dir", type=Path, nargs="?", metavar="RUN_DIR", help="the directory of a run")
    arguments.add_argument("--concurrency", type=int, help="streams at a time (default: 8, or the run's)")
    arguments.add_argument(
        "--rate", type=float, help="chunks per second of all of them (default: 50 each, or the run's)"
    )
    arguments.add_argument("--seconds", type=float, default=10.0, help="of each of the two measurements (default: 10)")
    arguments.add_argument("--workers", help="processes of the client, or auto (default: 1, or the run's)")
    arguments.add_argument("--json", action="store_true", help="print the figures as JSON")
    return arguments


def main(arguments: list[str]) -> int:
    """Measure the client at a load, or at that of a run, and say its error and its ceiling.

    Raises:
        TrieError: for a load that is not allowed, or a run that can't be read.
    """
    options = parser().parse_args(arguments)
    from trie.calibrate_client import Load, calibrate, load_of  # a mistake above should not wait for it
    from trie.metrics.evaluate_run import write_summary
    from trie.report.labels import client_lines
    from trie.storage.run_dir import RunDir
    from trie.storage.typed_json import encode

    run = RunDir.open(options.run_dir) if options.run_dir else None
    given = load_of(run) if run else None
    concurrency = options.concurrency or (given.concurrency if given else 8)
    rate = options.rate or (given.chunks_s if given else 50.0 * concurrency)
    workers = options.workers or (given.workers if given else "1")
    load = Load(concurrency, rate, options.seconds, workers)
    if not options.json:
        print(f"measuring the client: {concurrency} streams, {rate:,.0f} chunks/s, 2 x {load.seconds:g} s", flush=True)
    calibration = calibrate(load)
    if run:
        run.write_manifest(replace(run.manifest(), client_calibration=calibration))
        write_summary(run)
    print(json.dumps(encode(calibration), indent=1) if options.json else "\n".join(client_lines(calibration)))
    return 0
