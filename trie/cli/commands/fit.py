"""`trie fit`: a profile for the embedded endpoint out of measured runs."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trie.cli.arguments import Parser
from trie.errors import ConfigError, RunDirError

if TYPE_CHECKING:
    from rich.console import Console

    from trie.fit_profile import Profile

NAME = re.compile(r"[A-Za-z0-9][\w-]*")


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser(
        prog="trie fit",
        description="The parameters of the embedded endpoint's model from the rows of measured runs, and those runs "
        "told again in virtual time beside what was measured. Give runs of one server at several concurrencies.",
    )
    arguments.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN_DIR", help="the directory of a run, or of a sweep"
    )
    arguments.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the profile: conf/profile/NAME.yaml"
    )
    arguments.add_argument("--scheduler", choices=["auto", "separate", "chunked"], default="auto")
    arguments.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments.add_argument("--html", type=Path, metavar="FILE", help="write a page with measured and simulated figures")
    return arguments


def main(arguments: list[str]) -> int:
    """Fit, show, and write the profile.

    Raises:
        TrieError: for runs that can't be read, or that can't tell what is asked of them.
    """
    options = parser().parse_args(arguments)
    name = options.output.stem if options.output else "fitted"
    if options.output and (options.output.suffix != ".yaml" or not NAME.fullmatch(name)):
        raise ConfigError(f"--output {options.output}: must be the name of a profile and .yaml")
    from trie.cli.console import console
    from trie.fit_profile import fit_profile, to_json, to_yaml
    from trie.metrics.evaluate_run import evaluate
    from trie.storage import sweep_dir
    from trie.storage.run_dir import RunDir, whole

    paths = [
        folder
        for path in options.runs
        for folder in ([cell.path for cell in sweep_dir.find(path)] if sweep_dir.is_sweep(path) else [path])
    ]
    runs = [evaluate(RunDir.open(path)) for path in paths]
    virtual = next((run for run in runs if run.manifest.clock == "virtual"), None)
    if virtual is not None:
        raise RunDirError(f"{virtual.run.path}: is of virtual time; a profile is fitted to what was measured")
    profile = fit_profile(runs, name, None if options.scheduler == "auto" else options.scheduler)
    if options.output:
        with suppress(OSError):  # what keeps the folder from being made keeps the file from being written
            options.output.parent.mkdir(parents=True, exist_ok=True)
        with whole(options.output) as aside:
            aside.write_text(to_yaml(profile), encoding="utf-8")
    if options.html:
        from trie.fit_page import write

        write(profile, options.html)
    if options.json:
        print(json.dumps(to_json(profile), indent=1))
    else:
        _show(profile, console())
    return 0


def _show(profile: Profile, console: Console) -> None:
    """The parameters, the notes, and each run beside its replay."""
    from rich.table import Table

    fitted = profile.fit
    console.print(
        f"scheduler={fitted.scheduler}, fitted to {fitted.requests:,} requests; median errors: time between first and "
        f"last chunk {fitted.decode_error:.1%}, TTFT of requests alone {fitted.ttft_error:.1%}"
    )
    for name, estimate in fitted.estimates.items():
        console.print(f"  {name:<28}{estimate.value:>14.6g} ± {estimate.half:.2g}")
    for note in profile.notes:
        console.print(f"note       {note}", style="yellow")
    table = Table("run", "figure", "measured", "simulated", "difference")
    for replayed in profile.replays:
        for figure in replayed.figures:
            cells = ["-" if value is None else f"{value:,.1f}" for value in (figure.measured, figure.simulated)]
            ratio = "-" if figure.ratio is None else f"{figure.ratio:+.1%}"
            table.add_row(f"concurrency {replayed.concurrency}", figure.name, *cells, ratio)
    console.print(table)
