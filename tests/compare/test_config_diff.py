"""What else differs, and what makes a comparison doubtful."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.known_servers import Server, written
from helpers.manifests import manifest
from helpers.rows import row

from trie.compare import config_diff
from trie.compare.comparison import Pair, compare
from trie.compare.differences import Settings
from trie.config import ConcurrencyConfig, EndpointConfig
from trie.metrics.summary import summarize
from trie.storage.manifest import Prompts, Started
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome

QUICK = Settings(resamples=100)


def pair(tmp_path: Path, server: Server | None = None, **other: Any) -> Pair:
    """An ordinary run beside another one."""
    a, b = written(tmp_path / "a"), written(tmp_path / "b", server, **other)
    return compare([a, b], QUICK).pairs[0]


def test_differing_config_keys_are_named_with_both_values(tmp_path: Path) -> None:
    endpoint = EndpointConfig(headers={"X-Key": "secret-1"})
    found = pair(tmp_path, num_gpus=4, endpoint=endpoint)
    assert [(setting.key, setting.baseline, setting.candidate) for setting in found.settings] == [
        ("endpoint.headers", {}, None),
        ("num_gpus", None, 4),
        ("endpoint.headers.X-Key", None, "(hidden)"),
    ]


def test_settings_that_change_nothing_measured_are_passed_over(tmp_path: Path) -> None:
    assert not pair(tmp_path, strict=True, html=False).settings


def test_ports_of_embedded_endpoints_are_no_difference() -> None:
    a, b = (manifest(server={"embedded": True, "base_url": f"http://127.0.0.1:{port}/v1"}) for port in (1, 2))
    assert not config_diff.facts(a, b)
    b = replace(b, server=replace(b.server, embedded=False))
    assert [fact.key for fact in config_diff.facts(a, b)] == ["server.base_url", "server.embedded"]


@pytest.mark.parametrize(
    ("other", "what", "found"),
    [
        ({"sha256": "bb" * 32}, "workload", "not the same traces: w (aaaaaaaaaaaa) and w (bbbbbbbbbbbb)"),
        ({"seed": 5}, "salt", "the candidate has a fixed seed, the other drew a fresh one"),
        ({"concurrency": ConcurrencyConfig(2)}, "load", "concurrency 8 and 2"),
        ({"stream": False}, "load", "stream True and False"),
        ({"wall_s": 50.0}, "length", "100 s and 50 s, "),
        ({"server": Server(fail=2)}, "candidate invalid", "too many requests failed"),
    ],
)
def test_every_reason_for_doubt_is_said(tmp_path: Path, other: dict[str, Any], what: str, found: str) -> None:
    doubts = {doubt.what: doubt for doubt in pair(tmp_path, **other).doubts}
    assert found in doubts[what].found
    assert doubts[what].advice


def test_prompts_of_other_words_and_a_cut_run_are_doubtful(tmp_path: Path) -> None:
    found = pair(tmp_path)
    candidate = replace(found.candidate.manifest, prompts=Prompts(name="M", fingerprint="f1"), end=None)
    summaries = found.baseline.summary, found.candidate.summary
    doubts = config_diff.doubts((found.baseline.manifest, candidate), summaries)
    assert [(doubt.what, doubt.found) for doubt in doubts] == [
        ("prompts", "made of other words: word list and M"),
        ("candidate cut short", "it ended by: killed"),
    ]


def test_a_warm_cache_is_doubtful() -> None:
    ordinary = summarize(to_table([row(i, usage_cached_tokens=0) for i in range(10)]), manifest())
    about = manifest(workload={"sha256": "a"}, seed=1)
    warm = replace(ordinary, cache=replace(ordinary.cache, turn0_hit_share=0.25))
    (doubt,) = config_diff.doubts((about, about), (ordinary, warm))
    assert (doubt.what, doubt.found) == ("salt", "first requests that hit the cache: 0.0% and 25.0%")
    unknown = replace(ordinary, cache=replace(ordinary.cache, turn0_hit_share=None))
    assert not config_diff.doubts((about, about), (unknown, unknown))  # a run beside itself
    later = replace(about, started=Started(unix_s=1.0))
    (doubt,) = config_diff.doubts((about, later), (unknown, unknown))
    assert doubt.found == "the same prompts went to the same server, which reports no cached tokens"
    assert not config_diff.doubts((about, replace(later, seed=8)), (unknown, unknown))


def test_traces_that_failed_make_a_comparison_as_doubtful_as_those_that_were_cut_off() -> None:
    """The survivors are the short traces: in the candidate 3 of 20 failed."""
    about = manifest(workload={"sha256": "a"}, limits={"failure_rate": 1.0})
    rows = [row(i, usage_cached_tokens=0) for i in range(20)]
    lost = [row(i, outcome=Outcome.failed, error_kind="reset") for i in range(17, 20)]
    summaries = summarize(to_table(rows), about), summarize(to_table([*rows[:17], *lost]), about)
    (doubt,) = [doubt for doubt in config_diff.doubts((about, about), summaries) if doubt.what == "length"]
    assert "0% and 15% of the traces cut off or failed" in doubt.found
