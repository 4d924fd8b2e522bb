"""`trie workload`: traces of other tools as traces of this one, and what a workload is before it costs time."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from trie.cli.arguments import Parser
from trie.config.workload import MAX_ROWS
from trie.errors import ConfigError, WorkloadError
from trie.storage.run_dir import whole, write_json
from trie.workload.row import MAX_LATENCY_S, parse_trace
from trie.workload.trace import Trace, Workload

if TYPE_CHECKING:
    from trie.workload.importers.importer import Tokens

SHOWN_MISTAKES = 20


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser(prog="trie workload", description="Import, check and look at workloads.")
    commands = arguments.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _import_arguments(commands.add_parser("import", help="make traces out of another tool's files"))
    _show_arguments(commands.add_parser("show", help="what a workload is, and what it will ask of a server's cache"))
    _synthesize_arguments(commands.add_parser("synthesize", help="draw traces like those of a workload"))
    validate = commands.add_parser("validate", help="check every row of a JSONL file")
    validate.add_argument("path", type=Path, metavar="PATH", help="a JSONL file")
    return arguments


def _import_arguments(arguments: argparse.ArgumentParser) -> None:
    arguments.description = "Lengths and times of another tool's traces, without any text, name or path of theirs."
    add = arguments.add_argument
    add("source", type=Path, metavar="SRC", help="a file or a folder; .gz and .zst are unpacked")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the JSONL file to write")
    add("--format", default="auto", metavar="FORMAT", help="of the source (default: auto, by its first rows)")
    add(
        "--input-length",
        choices=("whole", "new"),
        help="what the input length of a session's later requests counts, in formats that leave it open",
    )
    add("--tokenizer", metavar="NAME", help="hub id or folder: counts the tokens of sources that hold texts alone")
    add(
        "--cap-wait", type=float, default=MAX_LATENCY_S, metavar="S", help="the longest wait; longer ones are cut to it"
    )
    add(
        "--answer-speed",
        type=float,
        default=50.0,
        metavar="TOK_S",
        help="tokens per second by which an answer's end is estimated where a source has only starts (default: 50)",
    )
    add("--seed", type=int, default=0, help="of waits that are drawn where a source has none (default: 0)")
    add("--report", action="store_true", help="print the report of the import as JSON")


def _show_arguments(arguments: argparse.ArgumentParser) -> None:
    arguments.description = "A workload in numbers, and the hit rate to expect from a cache of a given size."
    add = arguments.add_argument
    add("workload", metavar="WORKLOAD", help="a name (agentic, qa, office, sample, ...) or the path of a JSONL file")
    add("--concurrency", type=int, default=8, metavar="C", help="active traces (default: 8)")
    add("--cache-tokens", type=int, metavar="N", help="tokens that the server's cache holds")
    add("--prompt-speed", type=float, metavar="TOK_S", help="new prompt tokens per second (default: 20000)")
    add("--answer-speed", type=float, metavar="TOK_S", help="tokens per second of each answer (default: 50)")
    add("--profile", metavar="NAME", help="take both speeds from a profile of the embedded endpoint (gpu, ...)")
    add("--deadline", type=float, metavar="S", help="say how many traces a deadline after S seconds cuts off")
    add("--shared-prefix-tokens", type=int, metavar="N", help="as workload.shared_prefix_tokens=N has it")
    add("--shared-prefix-groups", type=int, metavar="G", help="as workload.shared_prefix_groups=G has it")
    add("--shared-prefix-zipf", type=float, metavar="Z", help="as workload.shared_prefix_zipf=Z has it")
    add("--html", type=Path, metavar="FILE", help="write a page with plots")
    add("--json", action="store_true", help="print the numbers as JSON")


def _synthesize_arguments(arguments: argparse.ArgumentParser) -> None:
    arguments.description = "Traces drawn from distributions: a labelled stand-in, or one fitted to a file of yours."
    add = arguments.add_argument
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--like", choices=("agentic", "qa", "office"), help="a stand-in that comes with the package")
    source.add_argument("--fit", metavar="WORKLOAD", help="learn from a workload: a name, or the path of a JSONL file")
    add("-n", type=int, default=8192, dest="rows", metavar="ROWS", help="traces to draw (default: 8192)")
    add("--seed", type=int, default=0, help="the same seed draws the same traces (default: 0)")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the JSONL file to write")


def main(arguments: list[str]) -> int:
    """Do what the subcommand says.

    Raises:
        TrieError: for a source or a workload that can't be read.
    """
    options = parser().parse_args(arguments)
    return {"import": _import, "show": _show, "synthesize": _synthesize, "validate": _validate}[options.command](
        options
    )


def _import(options: argparse.Namespace) -> int:
    from trie.workload.importers.convert import convert  # numpy, not for --help
    from trie.workload.importers.session import Options
    from trie.workload.load import IMPORT_REPORT

    for flag, value in (("--cap-wait", options.cap_wait), ("--answer-speed", options.answer_speed)):
        if not value > 0:
            raise ConfigError(f"{flag} {value:g}: must be above 0")
    settings = Options(
        input_length=options.input_length,
        cap_wait_s=min(options.cap_wait, MAX_LATENCY_S),
        answer_tok_s=options.answer_speed,
        seed=options.seed,
    )
    tokens = None if options.tokenizer is None else _tokens(options.tokenizer)
    with whole(options.output) as aside, aside.open("wb") as out:
        fidelity = convert(options.source, out, format_name=options.format, options=settings, tokens=tokens)
        out.close()
        with aside.open("rb") as rows:
            sha256 = hashlib.file_digest(rows, "sha256").hexdigest()
    kept = {"sha256": sha256, **fidelity.to_json()}
    write_json(options.output.with_name(options.output.name + IMPORT_REPORT), kept)
    if options.report:
        print(json.dumps(kept, indent=1))
        return 0
    from trie.cli.console import console  # not for JSON
    from trie.report.terminal import print_lines

    print_lines(console(), fidelity.lines())
    print(f"{options.output}: trie workload={options.output} replays it")
    return 0


def _tokens(name: str) -> Tokens:
    """Counts by a tokenizer."""
    from trie.prompts.tokenizers import load  # a second, only for sources of texts

    tokenizer = load(name)
    return lambda texts: [len(ids) for ids in tokenizer.encode_all(texts)]


def _show(options: argparse.Namespace) -> int:
    from trie.cli.show_workload import show  # numpy, not for --help

    show(options)
    return 0


def _synthesize(options: argparse.Namespace) -> int:
    import orjson

    from trie.workload import jsonl

    if not 1 <= options.rows <= MAX_ROWS:
        raise ConfigError(f"-n {options.rows}: must be from 1 to {MAX_ROWS}")
    closeness, traces = _like(options) if options.like is not None else _fitted(options)
    print("\n".join(closeness))
    with whole(options.output) as aside:
        label = {"source": f"synthetic, {options.like or 'fitted'}, seed {options.seed}"}
        aside.write_bytes(b"".join(orjson.dumps(jsonl.row(trace) | label) + b"\n" for trace in traces))
    print(f"{options.output}: {len(traces):,} synthetic traces; trie workload={options.output} replays them")
    return 0


def _like(options: argparse.Namespace) -> tuple[list[str], list[Trace]]:
    """How near the drawn traces are to the recorded ones, where those are here, and the traces."""
    from trie.config.shipped_groups import workload_named_or_at
    from trie.workload import hub, synthetic
    from trie.workload.cache_demand import ideal_hit_rate
    from trie.workload.load import load

    traces = synthetic.draw(options.like, options.rows, options.seed)
    recorded = workload_named_or_at(options.like)
    if (hub.cache_folder() / str(recorded.hub_file)).is_file():
        return _closeness(load(recorded), traces), traces
    missing = f"distances from the recorded traces need {recorded.hub_file} in {hub.cache_folder()}"
    return [f"ideal hit rate: {ideal_hit_rate(traces):.2%} drawn; {missing}"], traces


def _fitted(options: argparse.Namespace) -> tuple[list[str], list[Trace]]:
    """How near the drawn traces are to those they were fitted to, and the traces."""
    from trie.config.shipped_groups import workload_named_or_at
    from trie.workload.fitted import fit
    from trie.workload.load import load

    workload = load(workload_named_or_at(options.fit))
    traces = fit(workload).draw(options.rows, options.seed)
    return _closeness(workload, traces), traces


def _closeness(workload: Workload, traces: list[Trace]) -> list[str]:
    """The distances of all quantities, and both hit rates."""
    from trie.workload.fitted import closeness, workload_of

    near = closeness(workload, workload_of(traces, workload.name))
    recorded, drawn = ("-" if rate is None else f"{rate:.2%}" for rate in near.ideal_hit_rates)
    distances = [f"  {title:<28} {distance:.3f}" for title, distance in near.distances.items()]
    return ["Kolmogorov-Smirnov distances:", *distances, f"ideal hit rate: {recorded} recorded, {drawn} drawn"]


def _validate(options: argparse.Namespace) -> int:
    """Every mistake of a file, and exit 1 when there is any."""
    from trie.workload.importers import source

    path: Path = options.path
    if source.is_packed(path):
        raise WorkloadError(f"{path}: is packed, must be JSON lines; unpack it")
    rows, mistakes = 0, []
    for number, line in source.lines(path):
        rows += 1
        if (mistake := _mistake(line, f"{path}:{number}")) is not None:
            mistakes.append(mistake)
    if not rows:
        raise WorkloadError(f"{path}: holds no trace, must be one JSON object a line")
    if mistakes:
        rest = len(mistakes) - SHOWN_MISTAKES
        more = [f"... and {rest:,} more"] if rest > 0 else []
        total = f"{path}: {len(mistakes):,} of {rows:,} rows are not allowed"
        raise WorkloadError("\n".join([*mistakes[:SHOWN_MISTAKES], *more, total]))
    print(f"{path}: {rows:,} traces, all rows are allowed")
    return 0


def _mistake(line: bytes, where: str) -> str | None:
    """What is wrong with a line."""
    import orjson

    try:
        parse_trace(orjson.loads(line), where=where)
    except orjson.JSONDecodeError as error:
        return f"{where}: not a JSON object: {error}"
    except WorkloadError as error:
        return str(error)
    return None
