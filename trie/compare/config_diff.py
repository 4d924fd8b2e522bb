"""What else differs between two runs: settings, circumstances, and what makes a comparison doubtful."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trie.config import RunConfig
from trie.config.setting import unmeasured
from trie.metrics.checks.check import Check

FACTS = ("trie_version", "versions", "workload", "prompts", "server", "host", "repository")  # of a manifest
NEVER_THE_SAME = ("server.rtt.", "server.warm_up.seconds")  # measured anew by each run
OF_THE_WORKLOAD = ("sha256", "traces")
WALL_TIME = 1.2  # ratio of the wall times above which censoring differs by itself
CENSORED = 0.1  # difference of the censored shares that is worth a word


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
    """The config keys that differ and may change what is measured."""
    pairs = _differing(flat(baseline["config"]), flat(candidate["config"]))
    ignored = unmeasured(RunConfig)
    return [setting for setting in pairs if setting.key not in ignored]


def facts(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[Setting]:
    """What the manifests state beside the config and that differs: versions, server, host, prompts, repository."""
    a, b = (flat({key: found.get(key) for key in FACTS}) for found in (baseline, candidate))
    embedded = a.get("server.embedded") and b.get("server.embedded")  # on a port of the system's choice
    found = [fact for fact in _differing(a, b) if not fact.key.startswith(NEVER_THE_SAME)]
    return [fact for fact in found if not (embedded and fact.key == "server.base_url")]


def flat(found: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted keys."""
    if isinstance(found, Mapping) and found:
        return {key: value for name in found for key, value in flat(found[name], f"{prefix}.{name}").items()}
    return {prefix.removeprefix("."): found}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Setting]:
    return [Setting(key, a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]


def same_workload(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Whether a trace_id means the same trace in both runs."""
    a, b = (found["workload"].get("sha256") for found in (baseline, candidate))
    return a is not None and a == b


def doubts(
    manifests: tuple[Mapping[str, Any], Mapping[str, Any]], summaries: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> list[Doubt]:
    """Every reason for doubt, the gravest first."""
    return [
        *_clock(*manifests),
        *_workload(*manifests),
        *_salt(manifests, summaries),
        *_validity(summaries),
        *_load(*manifests),
        *_length(summaries),
        *_ending(manifests),
    ]


def _workload(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Doubt]:
    if not same_workload(a, b):
        names = " and ".join(
            f"{found['workload']['name']} ({str(found['workload'].get('sha256'))[:12]})" for found in (a, b)
        )
        yield Doubt("workload", f"not the same traces: {names}", "compare runs of one workload")
    elif a["workload"]["traces"] != b["workload"]["traces"]:
        counts = " and ".join(str(found["workload"]["traces"]) for found in (a, b))
        yield Doubt("workload", f"not the same selection: {counts} traces", "see workload.*_context_tokens")
    words = [(found["prompts"].get("name"), found["prompts"].get("fingerprint")) for found in (a, b)]
    if words[0] != words[1]:
        yield Doubt(
            "prompts",
            f"made of other words: {words[0][0]} and {words[1][0]}",
            "give both runs the same tokenizer_model",
        )


def _salt(
    manifests: tuple[Mapping[str, Any], Mapping[str, Any]], summaries: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> Iterator[Doubt]:
    """Whether prompts were fresh: a server that has seen them answers from its cache."""
    seeds = [found["config"].get("seed") for found in manifests]
    if (seeds[0] is None) != (seeds[1] is None):
        fixed = "the candidate" if seeds[0] is None else "the baseline"
        yield Doubt(
            "salt",
            f"{fixed} has a fixed seed, the other drew a fresh one",
            "let both draw theirs (seed=null), or fix both and reset the server's cache before each",
        )
    shares = [found["cache"]["turn0_hit_share"] for found in summaries]
    warm = [share or 0.0 for share in shares]
    if _again(*manifests) and None in shares:
        yield Doubt(
            "salt",
            "the same prompts went to the same server, which reports no cached tokens",
            "it may have kept them from one run to the other: seed=null, or reset its cache between",
        )
    if any(warm):
        yield Doubt(
            "salt",
            f"first requests that hit the cache: {warm[0]:.1%} and {warm[1]:.1%}",
            "a warm cache or shared prefixes make a server look better: seed=null, or reset the cache",
        )


def _again(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether both runs sent the same prompts to the same server; an embedded one is each run's own."""
    asked = [(found.get("seed"), found["server"]["base_url"], found["server"]["embedded"]) for found in (a, b)]
    own = (a.get("started"), b.get("started"))
    return asked[0] == asked[1] and not asked[0][2] and own[0] != own[1]


def _validity(summaries: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Iterator[Doubt]:
    for name, summary in zip(("baseline", "candidate"), summaries, strict=True):
        checks = [Check.from_json(check) for check in summary["verdict"]]
        failed = [check.line for check in checks if check.level == "error" and not check.ok]
        if failed:
            yield Doubt(
                f"{name} invalid", "; ".join(failed), "fix what made it invalid first: its numbers would mislead"
            )


def _clock(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Doubt]:
    """Whether there is a server behind the numbers."""
    names = ("the baseline", "the candidate")
    virtual = [name for name, run in zip(names, (a, b), strict=True) if run["config"].get("clock") == "virtual"]
    if virtual:
        yield Doubt(
            "clock",
            f"{' and '.join(virtual)} ran in virtual time: no server was measured",
            "it is a forecast by the embedded endpoint's model, and as good as its profile",
        )


def _load(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Doubt]:
    pairs = {
        "concurrency": [found["config"]["concurrency"]["value"] for found in (a, b)],
        "stream": [found["config"]["stream"] for found in (a, b)],
        "api": [found["config"]["endpoint"]["api"] for found in (a, b)],
    }
    differing = [f"{key} {values[0]} and {values[1]}" for key, values in pairs.items() if values[0] != values[1]]
    if differing:
        yield Doubt("load", ", ".join(differing), "latencies and throughput are those of another load")


def _length(summaries: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Iterator[Doubt]:
    lasted = [float(found["wall_time_s"]) for found in summaries]
    cut = [found["censoring"]["share"] or 0.0 for found in summaries]
    if max(lasted) > WALL_TIME * min(lasted) or abs(cut[0] - cut[1]) > CENSORED:
        yield Doubt(
            "length",
            f"{lasted[0]:.0f} s and {lasted[1]:.0f} s, {cut[0]:.0%} and {cut[1]:.0%} of the traces cut off",
            "the traces that complete in a shorter run are shorter: compare runs of one duration",
        )


def _ending(manifests: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Iterator[Doubt]:
    for name, manifest in zip(("baseline", "candidate"), manifests, strict=True):
        reason = (manifest.get("end") or {"reason": "killed"})["reason"]
        if reason != "deadline":
            yield Doubt(f"{name} cut short", f"it ended by: {reason}", "let it run to its deadline")
