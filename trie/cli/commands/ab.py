"""`trie ab`: two servers, or two settings of one, in turn until it is sure which is better."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trie.cli.arguments import Parser
from trie.cli.secrets import Keys
from trie.errors import ConfigError, TrieError, near_miss

if TYPE_CHECKING:
    from trie.decide.ab.result import Arm, Plan, Result

log = logging.getLogger("trie")

ARMS = ("a", "b")
RESUME = "what is measured so far is in %s; the same command with -o %s resumes"
EXIT_WORSE, EXIT_UNSURE = 4, 5
DEFAULTS = {
    "margin": "2%",
    "block": "60",
    "pairs": "20",
    "metric": "completion_tok_s",
    "traces": "same",
    "seed": "0",
    "effect": "",
    "like": "",
}
_OWN = re.compile(r"([ab])\.(.+)", re.DOTALL)


@dataclass
class _Typed:
    """The arguments, sorted: the arms' own, those of both, and those of the comparison."""

    own: dict[str, list[str]] = field(default_factory=lambda: {arm: [] for arm in ARMS})
    before: dict[str, str] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=lambda: dict(DEFAULTS))


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser(
        prog="trie ab",
        description="Measure A and B in turn (A B, B A, A B, ...), the same traces in both blocks of a pair, until it "
        "is sure which is better, or that they are equivalent within the margin.",
        epilog="Exit code: 0 B is better or equivalent, 4 B is worse, 5 not sure, 1 a mistake.",
    )
    arguments.add_argument(
        "settings",
        nargs="+",
        metavar="KEY=VALUE",
        help="a.KEY=VALUE and b.KEY=VALUE: settings of one arm, such as a.endpoint=URL; a.before=COMMAND: run before "
        "each block of A; margin=2%%, block=60 (seconds), pairs=20 (at most), metric=completion_tok_s, "
        "traces=same|own, seed=0; effect=3%% like=DIR: how many pairs such a difference takes, by an earlier "
        "comparison; others: settings of both",
    )
    arguments.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="a folder with groups of your own")
    arguments.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="a new folder, or that of a comparison to resume; default: below outputs/ab/",
    )
    arguments.add_argument("--json", action="store_true", help="print ab.json at the end")
    return arguments


def main(arguments: list[str], keys: Keys) -> int:
    """Measure, show and decide.

    Raises:
        TrieError: for what the user can mend.
    """
    options = parser().parse_intermixed_args(arguments)
    typed = _sorted(options.settings)
    plan = _plan(typed.options)
    if typed.options["effect"] or typed.options["like"]:
        return _predict(typed.options, plan)
    arms = _arms(typed, options.config_dir, keys)
    directory = options.output or Path("outputs") / "ab" / f"{datetime.now().astimezone():%Y-%m-%d-%H-%M-%S-%f}"
    _refuse_other_folder(directory)
    return _measure(arms, plan, directory, as_json=options.json)


def _refuse_other_folder(directory: Path) -> None:
    """Refuse a folder that holds something, and no comparison."""
    from trie.decide.ab.saved import RESULT
    from trie.storage.sweep_dir import LOCK

    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--output {directory}: is a file; give a folder")
    if (
        directory.exists()
        and not (directory / RESULT).exists()
        and {path.name for path in directory.iterdir()} - {LOCK}
    ):
        raise ConfigError(f"--output {directory}: holds no comparison to resume; give a new folder")


def _measure(arms: Sequence[Arm], plan: Plan, directory: Path, *, as_json: bool) -> int:
    from trie.cli.commands.probe import log_to_stderr
    from trie.decide.ab.experiment import Experiment
    from trie.decide.ab.saved import to_json

    log_to_stderr()
    directory.mkdir(parents=True, exist_ok=True)
    result = None
    try:
        for result in Experiment(arms, plan, directory).results():
            _show_pair(result)
    except (TrieError, KeyboardInterrupt):
        if result is not None:
            log.warning(RESUME, directory, directory)
        raise
    assert result is not None  # a plan has a pair at least
    _show(result, as_json=as_json, content=to_json(result))
    if result.interrupted:
        log.warning(RESUME, directory, directory)
        raise KeyboardInterrupt
    return {"better": 0, "equivalent": 0, "worse": EXIT_WORSE, "unsure": EXIT_UNSURE}[result.decision]


def _sorted(settings: Sequence[str]) -> _Typed:
    typed = _Typed()
    for argument in settings:
        key, sign, value = argument.partition("=")
        own = _OWN.fullmatch(key)
        if not sign:
            raise ConfigError(f"{argument}: is not a setting (KEY=VALUE)")
        if own is None and key in DEFAULTS and key != "seed":
            typed.options[key] = value
        elif own is None:
            typed.options["seed"] = value if key == "seed" else typed.options["seed"]
            typed.shared += [] if key == "seed" else [argument]
        elif own[2] == "before":
            typed.before[own[1]] = value
        else:
            typed.own[own[1]].append(f"{own[2]}={value}")
    return typed


def _arms(typed: _Typed, config_dir: Path | None, keys: Keys) -> list[Arm]:
    from trie.cli.compose import composed
    from trie.decide.ab.result import Arm

    if not any(typed.own.values()) and not typed.before:
        raise ConfigError("nothing differs between A and B: give a.KEY=VALUE and b.KEY=VALUE, such as a.endpoint=URL")
    configs = {arm: composed([*typed.shared, *typed.own[arm]], config_dir).run() for arm in ARMS}
    return [
        Arm(arm, config, typed.before.get(arm), keys.key(config.endpoint.api_key_env))
        for arm, config in configs.items()
    ]


def _plan(options: dict[str, str]) -> Plan:
    from trie.decide.ab.differences import COMPARED
    from trie.decide.ab.result import Plan
    from trie.decide.ab.sequential import FIRST_LOOK, Rule

    metrics = [compared.key for compared in COMPARED]
    if options["metric"] not in metrics:
        hint = near_miss(options["metric"], metrics)
        raise ConfigError(f"metric={options['metric']}: must be one of {', '.join(metrics)}{hint}")
    if options["traces"] not in ("same", "own"):
        raise ConfigError(f"traces={options['traces']}: must be same or own")
    margin = _number(options, "margin", above=0.0, below=1.0)
    pairs = _number(options, "pairs", above=FIRST_LOOK - 1, below=1000.0, whole=True)
    block_s = _number(options, "block", above=0.0, below=1e8)
    seed = _number(options, "seed", above=-1.0, below=2.0**48, whole=True)
    rule = Rule(margin, int(pairs))
    return Plan(rule, block_s, options["metric"], int(seed), same_traces=options["traces"] == "same")


def _number(options: dict[str, str], key: str, *, above: float, below: float, whole: bool = False) -> float:
    text = options[key]
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = float("nan")
    if not above < value < below or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number, or so many %,"
        raise ConfigError(f"{key}={text}: must be {kind} above {above:g} and below {below:g}")
    return value


def _predict(options: dict[str, str], plan: Plan) -> int:
    """How many pairs a difference takes, by the spread of an earlier comparison's pairs."""
    from trie.decide.ab.predict import predicted

    if not (options["effect"] and options["like"]):
        raise ConfigError(
            "effect=3% and like=DIR go together: the spread of the pairs comes from an earlier comparison"
        )
    effect = _number(options, "effect", above=0.0, below=10.0)
    print(predicted(Path(options["like"]), plan, effect))
    return 0


def _show_pair(result: Result) -> None:
    from trie.decide.ab.words import pair_line

    if result.pairs and not result.interrupted:
        print(pair_line(result.pairs[-1], result), flush=True)


def _show(result: Result, content: object, *, as_json: bool) -> None:
    from trie.decide.ab.page import write_page
    from trie.decide.ab.words import lines, sentence

    page = write_page(result)
    if as_json:
        print(json.dumps(content, indent=1))
        return
    from trie.cli.console import console
    from trie.report.terminal import print_lines

    print(sentence(result))
    print_lines(console(), lines(result))
    print(page)
    print(result.directory)
