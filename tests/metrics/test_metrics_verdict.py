"""Each condition of the verdict: what makes it fail, at which level, and what an ordinary run gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.manifests import KILLED, manifest
from helpers.rows import row
from helpers.run_directories import written_run

from trie.metrics.checks import activity, engine, load, objectives, steadiness
from trie.metrics.checks.check import Check
from trie.metrics.checks.clocks import clocks_agree
from trie.metrics.evaluate_run import evaluate
from trie.metrics.summary import Summary, summarize
from trie.metrics.verdict import CONDITIONS
from trie.storage.manifest import HostClock
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord

FAILED = {"outcome": Outcome.failed, "error_kind": "http_status", "first_token_s": None}
CUT = {"finish_reason": "length"}
LAGGED = {"cpu_s": 1.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.05, "loop_lag_max_s": 0.2, "samples": 9}
SPENT = {"cpu_s": 95.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.0, "loop_lag_max_s": 0.0, "samples": 9}


def judged(rows: list[RequestRecord], synthetic: bool = False, **about: Any) -> Summary:
    return summarize(to_table(rows), manifest(workload={"synthetic": synthetic}, **about))


def end(client: dict[str, Any] | None = None, reason: str = "deadline", wall_time_s: float = 100.0) -> dict[str, Any]:
    return {"reason": reason, "wall_time_s": wall_time_s, "client": client}


def many(count: int = 20, **other: Any) -> list[RequestRecord]:
    return [row(i, **other) for i in range(count)]


CASES: dict[str, tuple[list[RequestRecord], dict[str, Any], str, str, str]] = {
    "nothing completed": (many(**FAILED), {}, "something_completed", "error", "0 traces"),
    "failures": (many(18) + [row(i, **FAILED) for i in (30, 31)], {}, "few_failures", "error", "2 of 20"),
    "prompt drift": (many(usage_prompt_tokens=110), {}, "prompt_lengths", "error", "+10.00%"),
    "prompts cut": (many(usage_prompt_tokens=90), {}, "prompt_lengths", "error", "-10.00%"),
    "short answers": (many(usage_completion_tokens=9), {}, "completion_lengths", "error", "18.18%"),
    "short answers, some cut": (
        [
            *many(2, usage_completion_tokens=9, finish_reason="stop"),
            row(7, usage_completion_tokens=3, finish_reason="length"),
        ],
        {},
        "completion_lengths",
        "error",
        "(3 requests: 2 ended by stop, 1 ended by length)",
    ),
    "rate limits": (many(rate_limited=1, attempts=2), {}, "no_rate_limits", "warning", "20 attempts"),
    "a session that moved": (
        [*many(), *(row(30, turn, turns=2, worker=name) for turn, name in enumerate("abb"))],
        {},
        "sessions_stay",
        "warning",
        "1 of 2 turns",
    ),
    "long answers": (
        many(usage_completion_tokens=22),
        {},
        "completions_no_longer_than_asked",
        "error",
        "100.00%",
    ),
    "impossible hits": (many(usage_cached_tokens=1000), {}, "possible_cache_figures", "error", "20 requests"),
    "too many failures": (
        many(),
        {"end": end(reason="max_failures", wall_time_s=12.0), "max_failures": 5, "duration": 99.0},
        "ran_its_duration",
        "error",
        "ended by max_failures=5 after 12 of 99 s",
    ),
    "late loop": (many(), {"end": end(LAGGED)}, "client_loop_on_time", "warning", "50.0 ms"),
    "late first tokens": (
        many(first_token_lag_s=0.1),
        {},
        "client_on_time",
        "error",
        "TTFT of requests p50 may be up to 100 ms (25.0%) too high",
    ),
    "nothing but lateness": (many(first_token_lag_s=0.6), {}, "client_on_time", "error", "(all of it) too high"),
    "late rows from before the columns": (many(loop_lag_s=0.2), {}, "client_on_time", "error", "(66.7%) too high"),
    "busy client": (many(), {"end": end(SPENT)}, "client_not_saturated", "error", "95%"),
    "suspects": (many(loop_lag_s=0.01), {}, "few_suspect_requests", "warning", "100.0%"),
    "answers in one read": (
        [*many(18), *many(2, last_token_s=0.5)],
        {},
        "tokens_seen_as_they_came",
        "warning",
        "10.0% of the answers",
    ),
    "virtual time": (
        many(),
        {"clock": "virtual", "sim": {"profile": "gpu"}},
        "server_measured",
        "warning",
        "by the model with profile gpu",
    ),
    "a forecast beyond the fit": (
        many(),
        {"clock": "virtual", "sim": {"profile": "mine", "measured_batch": 0.01}},
        "within_fit",
        "warning",
        "the profile was fitted to batches of up to 0.01",
    ),
    "a handful of traces": (many(9), {}, "enough_completed", "error", "9 traces completed"),
    "fewer traces than slots": (many(20), {"concurrency": {"value": 21}}, "enough_completed", "error", "take 21"),
    "failed traces of many requests": (
        # 18 traces of 10 requests: 2 of 182 requests failed, and 2 of 20 traces
        [*(row(i, turn, 9) for i in range(18) for turn in range(10)), *(row(i, turns=9, **FAILED) for i in (30, 31))],
        {},
        "few_failed_traces",
        "error",
        "2 of 20 traces that ended were ended by a failure (10.0%)",
    ),
    "some censoring": (
        [*many(17), *(row(i, turns=3) for i in (30, 31))],
        {},
        "little_censoring",
        "warning",
        "2 of 19 traces were cut off or failed",
    ),
    "censoring": (
        [*many(10), *(row(i, turns=3) for i in range(30, 41))],
        {},
        "little_censoring",
        "error",
        "11 of 21 traces were cut off or failed",
    ),
    "censoring by failures": (
        [*many(20), row(30, turns=3), *(row(i, **FAILED) for i in (31, 32))],
        {"limits": {"failure_rate": 0.1, "censored_share": 0.2}},
        "little_censoring",
        "warning",
        "3 of 23 traces were cut off or failed",
    ),
    "a stand-in": (many(), {"synthetic": True}, "recorded_workload", "warning", "synthetic stand-in"),
    "no cache report": (many(usage_cached_tokens=None), {}, "cache_reported", "warning", "no cached tokens"),
    "no usage": (
        many(usage_prompt_tokens=None, usage_completion_tokens=None, usage_cached_tokens=None),
        {},
        "usage_reported",
        "warning",
        "no usage",
    ),
    "some usage": ([*many(19), row(30, usage_prompt_tokens=None)], {}, "usage_complete", "warning", "19 of 20"),
    "two versions": (
        many(),
        {"server": {"engines": ["vLLM 0.31.0", "vLLM 0.32.0", "vLLM 0.32.0"]}},
        "one_engine",
        "warning",
        "3 servers: 1 of vLLM 0.31.0, 2 of vLLM 0.32.0",
    ),
    "more hits than a trace's own context": (
        # 111 tokens are eligible in the second turn, and 96 hit; 96 more hit in the first
        [row(i, turn, turns=1, usage_cached_tokens=96) for i in range(20) for turn in range(2)],
        {},
        "eligible_rates_possible",
        "warning",
        "173.0 % in a trace, 173.0 % on average",
    ),
    "a warm cache": (many(usage_cached_tokens=64), {}, "cold_start", "warning", "100.0%"),
    "interrupted": (many(), {"end": end(reason="interrupted")}, "ran_its_duration", "warning", "interrupted"),
    "a worker that died": (
        many(),
        {"end": {"workers": [{"worker_id": 0}, {"worker_id": 1, "node": "a", "died": "killed by signal 9"}]}},
        "workers_lived",
        "error",
        "worker 1 on a (killed by signal 9)",
    ),
    "a clock that is hardly known": (
        many(),
        {"end": {"workers": [{"worker_id": 0, "clock": {"error_begin_s": 0.001, "error_end_s": 0.06}}]}},
        "clocks_agree",
        "warning",
        "worker 0's clock is known within 60.0 ms, 0.07% of steady state",
    ),
    "one of two workers is saturated": (
        # 95 s of CPU time in 100 s of its own, though both together used but 100 in 200
        many(),
        {
            "end": {
                "workers": [
                    {"worker_id": 0, "wall_time_s": 100.0, "client": {"cpu_s": 5.0}},
                    {"worker_id": 1, "wall_time_s": 100.0, "client": {"cpu_s": 95.0}},
                ]
            }
        },
        "client_not_saturated",
        "error",
        "95% of one core",
    ),
    "a standstill in a killed run": (
        many(loop_lag_s=1.5, first_token_lag_s=0.0, later_lag_s=0.0),
        {"end": KILLED},
        "client_ran_throughout",
        "error",
        "stood still for 1.5 s",
    ),
    "killed": (many(), {"end": KILLED}, "ended_in_order", "warning", "killed"),
    "not streamed": (many(), {"stream": False}, "streaming", "warning", "TTFT"),
    "recorded answers": (many(), {"history": "recorded"}, "answers_in_the_history", "warning", "recorded lengths"),
    "retries": (many(attempts=2), {}, "no_retries", "warning", "20 attempts"),
    "a trial": (many(), {"end": end(wall_time_s=20.0)}, "long_enough", "warning", "20 s"),
}


@pytest.mark.parametrize(("rows", "about", "check", "level", "said"), CASES.values(), ids=CASES.keys())
def test_a_condition_that_does_not_hold(
    rows: list[RequestRecord], about: dict[str, Any], check: str, level: str, said: str
):
    found = judged(rows, **about)
    (failed,) = [item for item in found.verdict if item.id == check]
    assert (failed.ok, failed.level) == (False, level)
    assert said in failed.found
    assert failed.advice
    assert "\n" not in failed.found + failed.advice
    assert found.valid is (level == "warning")


@pytest.mark.parametrize(("prompt", "ok"), [(110, True), (116, False)])
def test_what_a_template_explains_is_not_held_against_the_lengths(prompt: int, ok: bool):
    about = manifest(prompts={"template": {"first_tokens": 10, "per_turn_tokens": 13}})
    found = summarize(to_table(many(usage_prompt_tokens=prompt)), about)
    (check,) = [check for check in found.verdict if check.id == "prompt_lengths"]
    assert check.ok is ok
    assert "beyond the +10.00% of its template" in check.found


def test_an_ordinary_run_passes():
    found = judged(many())
    assert [check.id for check in found.verdict if not check.ok] == []
    assert found.valid


# 50 ms and 1 % of the window warn or fail; so do steps, of which a manifest without their size may have had any
@pytest.mark.parametrize(
    ("clock", "window_s", "ok", "level"),
    [
        ({"error_begin_s": 0.05, "error_end_s": 0.001}, 1000.0, True, "warning"),
        ({"error_begin_s": 0.051, "error_end_s": None}, 1000.0, False, "warning"),
        ({"error_begin_s": 0.001, "error_end_s": 0.9}, 100.0, False, "warning"),
        ({"error_begin_s": 0.001, "error_end_s": 1.1}, 100.0, False, "error"),
        ({"error_begin_s": 0.04, "error_end_s": 0.001}, 3.0, False, "error"),
        ({"error_begin_s": 0.001, "steps": 9, "largest_step_s": 0.0002}, 100.0, False, "warning"),
        ({"error_begin_s": 0.001, "steps": 1, "largest_step_s": 0.051}, 100.0, False, "error"),
        ({"error_begin_s": 0.001, "steps": 1}, 100.0, False, "error"),
    ],
)
def test_clocks_that_are_known_well_enough(clock: dict[str, Any], window_s: float, ok: bool, level: str) -> None:
    check = clocks_agree({0: HostClock(error_begin_s=0.0, error_end_s=0.0), 1: HostClock(**clock)}, window_s)
    assert (check.ok, check.level) == (ok, level)


def test_a_run_whose_manifest_says_that_a_clock_was_set_anew_is_invalid_and_one_that_says_nothing_is_not_judged(
    tmp_path: Path,
) -> None:
    run = written_run(tmp_path / "run", many())
    manifest_file = tmp_path / "run" / "manifest.json"
    stated = json.loads(manifest_file.read_text())
    for clock, failed in (
        ({"pings": 9}, []),
        ({"error_begin_s": 0.001, "error_end_s": 0.001, "steps": 1}, ["clocks_agree"]),
    ):
        stated["end"]["workers"] = [{"worker_id": 0}, {"worker_id": 1, "clock": clock}]
        manifest_file.write_text(json.dumps(stated))
        summary = evaluate(run).summary
        assert [check.id for check in summary.verdict if check.level == "error" and not check.ok] == failed
        assert "clocks_agree" in failed or "clocks_agree" not in [check.id for check in summary.verdict]


def test_limits_are_the_settings_own():
    rows = many(usage_prompt_tokens=110)
    assert judged(rows, limits={"prompt_drift": 0.2}).valid


def test_our_own_deadline_is_no_failure():
    cut = [row(i, outcome=Outcome.cancelled, error_kind="deadline", first_token_s=None) for i in (50, 51, 52)]
    found = judged([*many(), *cut])
    assert found.valid
    assert found.facts["errors"] == {}


def test_every_check_is_declared_and_its_title_is_that_of_its_outcome():
    declared = {condition.id: condition for condition in CONDITIONS}
    assert len(declared) == len(CONDITIONS)
    seen = set()
    for rows, about, *_ in CASES.values():
        for check in judged(rows, **about).verdict:
            condition = declared[check.id]
            assert check.title == (condition.holds if check.ok else condition.fails)
            seen.add(check.id)
    modules = (engine, activity, load, steadiness, objectives)
    elsewhere = [condition for module in modules for condition in module.CONDITIONS]
    made_elsewhere = {check.id for check in elsewhere} | {
        "client_ran_throughout",
        "whole_workload",
    }
    assert declared.keys() - seen <= made_elsewhere | {"engine_to_itself"}


def test_a_check_reads_as_what_is_wrong():
    checks = {check.id: check for check in judged([*many(2), *(row(i, turns=3) for i in (7, 8))]).verdict}
    assert checks["little_censoring"].line.startswith("many traces were cut off or failed: 2 of 4 traces")
    assert checks["few_failures"].line.startswith("few requests failed: 0 of ")


def test_a_check_as_json_and_from_before_it_had_an_id():
    check = judged(many(**FAILED)).verdict[0]
    content = check.to_json()
    assert content["check"] == content["title"] == "no trace completed"
    assert Check.from_json(content) == check
    former = {"check": "something completed", "level": "error", "ok": False, "found": "0", "advice": "run longer"}
    assert Check.from_json(former).id == "something_completed"
    assert Check.from_json(former).title == "something completed"
