"""A gate for people: rules in gate.yaml that a run or every cell of a sweep passes, fails, or is not sure about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]

from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.compare.gates import COMPARISONS, Gate
from trie.compare.gates import Judged as Compared
from trie.errors import ConfigError, RunDirError
from trie.metrics.definitions import WORKLOAD
from trie.metrics.definitions import numbers as declared_numbers
from trie.metrics.evaluate_run import EvaluatedRun, evaluate
from trie.metrics.metric_names import described, numbers, resolve
from trie.metrics.slo.evaluate import Judged
from trie.metrics.slo.expression import Objective, parse_all
from trie.metrics.slo.of_run import judged_run
from trie.storage import sweep_dir
from trie.storage.run_dir import RunDir
from trie.storage.sweep_dir import Status

Outcome = Literal["passed", "failed", "unsure"]

KEYS = ("limits", "slo", "margins", "valid", "unsure")
_LIMIT = re.compile(r"\s*([\w.]+)\s*(>=|<=|>|<)\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(%?)\s*")
_MARGIN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*")
MET: Mapping[str, Outcome] = {"yes": "passed", "no": "failed", "unsure": "unsure"}


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of summary.json and what it must be."""

    text: str
    metric: str
    comparison: str
    limit: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What gate.yaml says."""

    limits: tuple[Limit, ...] = ()
    objectives: tuple[Objective, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)  # by metric: how much worse it may be, as a ratio
    valid: bool = True  # a run with an invalid verdict fails
    unsure_fails: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule on one run."""

    cell: str  # empty for a run
    rule: str
    outcome: Outcome
    found: str


@dataclass(frozen=True, slots=True)
class Gated:
    """Everything that was judged."""

    rulings: tuple[Ruling, ...]
    unsure_fails: bool

    @property
    def failed(self) -> bool:
        failing = {"failed", "unsure"} if self.unsure_fails else {"failed"}
        return any(ruling.outcome in failing for ruling in self.rulings)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"failed": self.failed, "rulings": [asdict(ruling) for ruling in self.rulings]}


def read_rules(path: Path) -> Rules:
    """The rules of a file.

    Raises:
        ConfigError: naming the file, the key, what was found and what is allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{path}: must have some of the keys {', '.join(KEYS)}")
    unknown = next((key for key in content if key not in KEYS), None)
    if unknown is not None:
        raise ConfigError(f"{path}: {unknown}: no such key; there are {', '.join(KEYS)}")
    try:
        return _rules(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _rules(content: Mapping[str, Any]) -> Rules:
    limits, margins = content.get("limits") or [], content.get("margins") or {}
    if not isinstance(limits, list) or not all(isinstance(text, str) for text in limits):
        raise ConfigError("limits: must be a list of texts such as 'client.cpu_share < 0.8'")
    if not isinstance(margins, dict):
        raise ConfigError("margins: must map metrics to shares such as 'ttft_s.p90: 10%'")
    valid, unsure = content.get("valid", True), content.get("unsure", "pass")
    if not isinstance(valid, bool):
        raise ConfigError(f"valid: {valid}: must be true or false")
    if unsure not in ("pass", "fail"):
        raise ConfigError(f"unsure: {unsure}: must be pass or fail")
    return Rules(
        tuple(_limit(text) for text in limits),
        parse_all(content.get("slo")),
        {str(metric): _margin(str(metric), share) for metric, share in margins.items()},
        valid,
        unsure == "fail",
    )


def _limit(text: str) -> Limit:
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise ConfigError(f"limits: {text!r}: must be a number of summary.json, one of > >= < <=, and a value")
    metric, comparison, number, percent = match.groups()
    return Limit(text, metric, comparison, float(number) / (100.0 if percent else 1.0))


def _margin(metric: str, share: Any) -> float:
    match = _MARGIN.fullmatch(str(share))
    if match is None:
        raise ConfigError(f"margins: {metric}: {share}: must be a share such as 5%")
    return float(match[1]) / 100.0


def gate(target: Path, rules: Rules, baseline: Path | None) -> Gated:
    """Judge a run or every cell of a sweep.

    Raises:
        RunDirError: for what is no run or sweep, or can't be compared.
        ConfigError: for margins without a baseline, and for a metric that there is not.
    """
    if rules.margins and baseline is None:
        raise ConfigError("margins: need a baseline; give --baseline DIR")
    rulings = [ruling for cell, run in _runs(target) for ruling in _of_run(cell, run, rules)]
    if baseline is not None and rules.margins:
        rulings += _of_pairs(target, baseline, rules)
    return Gated(tuple(rulings), rules.unsure_fails)


def _runs(target: Path) -> Iterator[tuple[str, EvaluatedRun | str]]:
    """Each run, or why a cell is none."""
    if not sweep_dir.is_sweep(target):
        yield "", evaluate(RunDir.open(target))
        return
    for cell in sweep_dir.find(target):
        done = cell.status is Status.done
        yield cell.path.name, evaluate(RunDir(cell.path)) if done else f"{cell.status.value}: {cell.why}"


def _of_run(cell: str, run: EvaluatedRun | str, rules: Rules) -> Iterator[Ruling]:
    if isinstance(run, str):
        yield Ruling(cell, "measured", "failed", run)
        return
    if rules.valid:
        errors = [check.line for check in run.summary.verdict if check.level == "error" and not check.ok]
        yield Ruling(cell, "valid", "failed" if errors else "passed", "; ".join(errors) or "no error in the verdict")
    values = numbers(run.summary.to_json())
    for limit in rules.limits:
        key = _resolved(_whole(limit.metric), values, "limits", limit.text)
        yield _limited(cell, limit, values[key])
    for judged in judged_run(run, rules.objectives):
        tier = f"{judged.tier}: " if judged.tier else ""
        yield Ruling(cell, f"slo {tier}{judged.expression}", MET[judged.met], _interval(judged))


def _resolved(metric: str, keys: Iterable[str], section: str, text: str) -> str:
    try:
        return resolve(metric, keys)
    except ConfigError as error:
        raise ConfigError(f"{section}: {text!r}: {error}") from None


def _limited(cell: str, limit: Limit, value: float | None) -> Ruling:
    if value is None:
        return Ruling(cell, limit.text, "failed", "not measured")
    kept = COMPARISONS[limit.comparison](value, limit.limit)
    return Ruling(cell, limit.text, "passed" if kept else "failed", f"{value:.4g}")


def _interval(judged: Judged) -> str:
    if judged.value is None:
        return "not measured"
    ends = "" if judged.low is None or judged.high is None else f" ({judged.low:.4g} to {judged.high:.4g})"
    return f"{judged.value:.4g}{ends}"


def _of_pairs(target: Path, baseline: Path, rules: Rules) -> Iterator[Ruling]:
    """The margins: how much worse than the baseline a number may be."""
    gates = [(f"{metric} within {100 * share:g}%", _worse(metric, share)) for metric, share in rules.margins.items()]
    comparison = compare([baseline, target], Settings(), [gate for _, gate in gates])
    for missing in (line for line in comparison.alone if line.startswith("B ")):
        yield Ruling("", "same cells as the baseline", "failed", missing)
    for cell, pairs in comparison.cells.items():
        for pair in pairs:
            for doubt in pair.doubts:
                yield Ruling(cell, "comparable with the baseline", "unsure", f"{doubt.what}: {doubt.found}")
            for (rule, _), ruling in zip(gates, pair.gates, strict=True):
                yield Ruling(cell, rule, _outcome(ruling), ruling.text)


def _worse(metric: str, share: float) -> Gate:
    """The condition of being worse by more than a share."""
    keys = [number.key for number in declared_numbers()]
    better = described(_resolved(_whole(metric.removeprefix("population.")), keys, "margins", metric)).better
    if better is None:
        raise ConfigError(f"margins: {metric}: neither higher nor lower is better, so nothing is worse; use limits")
    sign, comparison = (-1.0, "<") if better == "higher" else (1.0, ">")
    return Gate(f"{metric} {comparison} {100 * sign * share:+g}%", _whole(metric), comparison, sign * share, "relative")


def _whole(metric: str) -> str:
    """The name of a number: a rate alone is that of steady state."""
    rates = [number.metric.key for number in declared_numbers() if number.metric.section is WORKLOAD]
    return f"{metric}.steady_state" if metric in rates else metric


def _outcome(judged: Compared) -> Outcome:
    """Failed where it is worse by more than noise; unsure where noise could have made it so, or hidden it."""
    if judged.value is None:
        return "failed"
    if judged.same_run:
        return "passed"
    if judged.beyond_noise is False:
        return "unsure"
    return "failed" if judged.failed else "passed"


def lines(gated: Gated) -> Iterator[str]:
    """A line a rule, failures first."""
    order = {"failed": 0, "unsure": 1, "passed": 2}
    for ruling in sorted(gated.rulings, key=lambda ruling: order[ruling.outcome]):
        yield f"{ruling.outcome:<8}{f'{ruling.cell}: ' if ruling.cell else ''}{ruling.rule}: {ruling.found}"


def refuse_nothing(rulings: Sequence[Ruling], path: Path) -> None:
    """A gate without rules passes everything.

    Raises:
        RunDirError: when nothing was judged.
    """
    if not rulings:
        raise RunDirError(f"{path}: no rule applies, so nothing was judged")
