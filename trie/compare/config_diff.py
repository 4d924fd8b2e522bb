"""What else differs between two runs: settings, circumstances, and what makes a comparison doubtful."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Any

from trie.compare.runs import Run
from trie.config import RunConfig
from trie.config.setting import settings_of, unmeasured
from trie.metrics.shown_numbers import CUT_OFF_SHARE
from trie.metrics.summary import Summary
from trie.storage.manifest import FULL_LENGTH, Manifest

FACTS = ("trie_version", "versions", "workload", "prompts", "server", "host", "repository")  # of a manifest
NEVER_THE_SAME = ("server.rtt.", "server.warm_up.seconds")  # measured anew by each run
WALL_TIME = 1.2  # ratio of the wall times above which censoring differs by itself
NOT_A_CELL = ("seed",)  # what may vary from cell to cell and tells none apart
CENSORED = 0.1  # difference of the shares cut off or failed that is worth a word


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason why a difference may be no difference of the servers."""

    what: str
    found: str
    advice: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One key with its values in two runs; None where a run has none."""

    key: str
    baseline: Any
    candidate: Any


def settings(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[Setting]:
    """The keys of two configs that differ and may change what is measured."""
    ignored = unmeasured(RunConfig)
    both = [_complete(flat(config)) for config in (baseline, candidate)]
    return [setting for setting in _differing(*both) if setting.key not in ignored]


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of the keys that an older version did not write."""
    defaults = {setting.key: _plain(setting.default) for setting in settings_of(RunConfig) if setting.default != {}}
    return {**config, **{key: value for key, value in defaults.items() if key not in config}}


def _plain(default: Any) -> Any:
    """A default as a config on disk has it."""
    return default.name if isinstance(default, Enum) else default


def facts(baseline: Manifest, candidate: Manifest) -> list[Setting]:
    """What the manifests state beside the config and that differs: versions, server, host, prompts, repository."""
    embedded = baseline.server.embedded and candidate.server.embedded  # on a port of the system's choice
    differing = _differing(*(_stated(manifest.to_json()) for manifest in (baseline, candidate)))
    differing = [fact for fact in differing if not fact.key.startswith(NEVER_THE_SAME)]
    return [fact for fact in differing if not (embedded and fact.key == "server.base_url")]


def _stated(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return flat({key: manifest[key] for key in FACTS})


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted keys."""
    if isinstance(content, Mapping) and content:
        return {key: value for name in content for key, value in flat(content[name], f"{prefix}.{name}").items()}
    return {prefix.removeprefix("."): content}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Setting]:
    return [Setting(key, a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]


def same_workload(baseline: Manifest, candidate: Manifest) -> bool:
    """Whether a trace_id means the same trace in both runs."""
    return baseline.workload.sha256 is not None and baseline.workload.sha256 == candidate.workload.sha256


def of_sides(baseline: Run, candidate: Run) -> list[Doubt]:
    """Every reason for doubt of two sides, the gravest first: of their runs two by two, and of several runs."""
    of_runs: dict[str, Doubt] = {}  # each kind once
    for a, b in product(baseline.runs, candidate.runs):
        for doubt in doubts((a.manifest, b.manifest), (a.summary, b.summary)):
            of_runs.setdefault(doubt.what, doubt)
    return [*_unlike(baseline), *_unlike(candidate), *_in_turn(baseline, candidate), *of_runs.values()]


def _unlike(side: Run) -> Iterator[Doubt]:
    """Whether the runs of a side have other settings, seeds aside: then they are no repeats."""
    differing = [
        setting.key
        for run in side.runs[1:]
        for setting in settings(side.manifest.config, run.manifest.config)
        if setting.key not in NOT_A_CELL
    ]
    if differing:
        keys = ", ".join(dict.fromkeys(differing))
        yield Doubt(f"repeats of {side.label}", f"its runs differ in {keys}", "put runs of the same settings together")


def _in_turn(baseline: Run, candidate: Run) -> Iterator[Doubt]:
    """Whether all runs of one side came before the other's: then what changed with time looks like a difference."""
    a, b = ([run.manifest.started.unix_s for run in side.runs] for side in (baseline, candidate))
    if min(len(a), len(b)) > 1 and (max(a) < min(b) or max(b) < min(a)):
        yield Doubt(
            "order",
            "all runs of one side came before those of the other",
            "take turns (A B B A): what changes with time on the machine then meets both",
        )


def doubts(manifests: tuple[Manifest, Manifest], summaries: tuple[Summary, Summary]) -> list[Doubt]:
    """Every reason for doubt, the gravest first."""
    return [
        *_clock(*manifests),
        *_workload(*manifests),
        *_salt(manifests, summaries),
        *_validity(summaries),
        *_load(*manifests),
        *_length(summaries),
        *_cut_off(summaries),
        *_ending(manifests),
    ]


def _workload(a: Manifest, b: Manifest) -> Iterator[Doubt]:
    if not same_workload(a, b):
        names = " and ".join(f"{run.workload.name} ({str(run.workload.sha256)[:12]})" for run in (a, b))
        yield Doubt("workload", f"not the same traces: {names}", "compare runs of one workload")
    elif a.workload.traces != b.workload.traces:
        counts = f"{a.workload.traces} and {b.workload.traces}"
        yield Doubt("workload", f"not the same selection: {counts} traces", "see workload.*_context_tokens")
    if (a.prompts.name, a.prompts.fingerprint) != (b.prompts.name, b.prompts.fingerprint):
        yield Doubt(
            "prompts",
            f"made of other words: {a.prompts.name} and {b.prompts.name}",
            "give both runs the same tokenizer_model",
        )


def _salt(manifests: tuple[Manifest, Manifest], summaries: tuple[Summary, Summary]) -> Iterator[Doubt]:
    """Whether prompts were fresh: a server that has seen them answers from its cache."""
    seeds = [manifest.settings.seed for manifest in manifests]
    if (seeds[0] is None) != (seeds[1] is None):
        fixed = "the candidate" if seeds[0] is None else "the baseline"
        yield Doubt(
            "salt",
            f"{fixed} has a fixed seed, the other drew a fresh one",
            "let both draw theirs (seed=null), or fix both and reset the server's cache before each",
        )
    shares = [summary.cache.turn0_hit_share for summary in summaries]
    if _same_prompts(*manifests) and None in shares:
        yield Doubt(
            "salt",
            "the same prompts went to the same server, which reports no cached tokens",
            "it may have kept them from one run to the other: seed=null, or reset its cache between",
        )
    warm = [share or 0.0 for share in shares]
    if any(warm):
        yield Doubt(
            "salt",
            f"first requests that hit the cache: {warm[0]:.1%} and {warm[1]:.1%}",
            "a warm cache or shared prefixes make a server look better: seed=null, or reset the cache",
        )


def _same_prompts(a: Manifest, b: Manifest) -> bool:
    """Whether both runs sent the same prompts to the same server; an embedded one is each run's own."""
    same_server = a.server.base_url == b.server.base_url and not (a.server.embedded or b.server.embedded)
    return a.seed == b.seed and same_server and a.started != b.started


def _validity(summaries: tuple[Summary, Summary]) -> Iterator[Doubt]:
    for name, summary in zip(("baseline", "candidate"), summaries, strict=True):
        failed = [check.line for check in summary.verdict if check.level == "error" and not check.ok]
        if failed:
            yield Doubt(
                f"{name} invalid", "; ".join(failed), "fix what made it invalid first: its numbers would mislead"
            )


def _clock(a: Manifest, b: Manifest) -> Iterator[Doubt]:
    """Whether there is a server behind the numbers."""
    names = ("the baseline", "the candidate")
    virtual = [name for name, run in zip(names, (a, b), strict=True) if run.settings.clock == "virtual"]
    if virtual:
        yield Doubt(
            "clock",
            f"{' and '.join(virtual)} ran in virtual time: no server was measured",
            "it is a forecast by the embedded endpoint's model, and as good as its profile",
        )


def _load(a: Manifest, b: Manifest) -> Iterator[Doubt]:
    pairs: dict[str, list[Any]] = {
        "concurrency": [run.settings.concurrency.value for run in (a, b)],
        "stream": [run.settings.stream for run in (a, b)],
        "api": [run.settings.endpoint.api for run in (a, b)],
    }
    differing = [f"{key} {values[0]} and {values[1]}" for key, values in pairs.items() if values[0] != values[1]]
    if differing:
        yield Doubt("load", ", ".join(differing), "latencies and throughput are those of another load")


def _length(summaries: tuple[Summary, Summary]) -> Iterator[Doubt]:
    lasted = [summary.wall_time_s for summary in summaries]
    cut = [_incomplete(summary) for summary in summaries]
    if max(lasted) > WALL_TIME * min(lasted) or abs(cut[0] - cut[1]) > CENSORED:
        yield Doubt(
            "length",
            f"{lasted[0]:.0f} s and {lasted[1]:.0f} s, {cut[0]:.0%} and {cut[1]:.0%} of the traces cut off or failed",
            "the traces that complete are the shorter ones, the more so in a short run or with failures: compare runs "
            "of one duration",
        )


def _cut_off(summaries: tuple[Summary, Summary]) -> Iterator[Doubt]:
    shares = [_incomplete(summary) for summary in summaries]
    if max(shares) > CUT_OFF_SHARE:
        yield Doubt(
            "cut off",
            f"{shares[0]:.0%} and {shares[1]:.0%} of the traces were cut off or failed: their times are in no "
            "statistic over traces",
            "compare the estimates that count them in, under the run (Kaplan-Meier)",
        )


def _incomplete(summary: Summary) -> float:
    """Share of the traces that were cut off or failed; those that complete are shorter, whichever it was."""
    traces = sum(summary.traces.values())
    return 1.0 - summary.traces["completed"] / traces if traces else 0.0


def _ending(manifests: tuple[Manifest, Manifest]) -> Iterator[Doubt]:
    for name, manifest in zip(("baseline", "candidate"), manifests, strict=True):
        reason = "killed" if manifest.end is None else manifest.end.reason
        if reason not in FULL_LENGTH:
            yield Doubt(f"{name} cut short", f"it ended by: {reason}", "let it run to its deadline")
