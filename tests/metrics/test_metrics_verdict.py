"""Each condition of the verdict: what makes it fail, at which level, and what an ordinary run gets."""

from __future__ import annotations

from typing import Any

import pytest
from metrics_builders import KILLED, manifest, row

from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord

FAILED = {"outcome": Outcome.failed, "error_kind": "http_status", "first_token_s": None}
CUT = {"finish_reason": "length"}
LAGGED = {"cpu_s": 1.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.05, "loop_lag_max_s": 0.2, "samples": 9}
SPENT = {"cpu_s": 95.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.0, "loop_lag_max_s": 0.0, "samples": 9}


def judged(rows: list[RequestRecord], synthetic: bool = False, **about: Any) -> Summary:
    facts = manifest(**about)
    facts["workload"]["synthetic"] = synthetic
    return summarize(to_table(rows), facts)


def end(client: dict[str, Any] | None = None, reason: str = "deadline", wall_time_s: float = 100.0) -> dict[str, Any]:
    return {"reason": reason, "wall_time_s": wall_time_s, "client": client}


def many(count: int = 20, **other: Any) -> list[RequestRecord]:
    return [row(i, **other) for i in range(count)]


CASES: dict[str, tuple[list[RequestRecord], dict[str, Any], str, str, str]] = {
    "nothing completed": (many(**FAILED), {}, "something completed", "error", "0 traces"),
    "failures": (many(18) + [row(i, **FAILED) for i in (30, 31)], {}, "few failures", "error", "2 of 20"),
    "prompt drift": (many(usage_prompt_tokens=110), {}, "prompt lengths", "error", "+10.00%"),
    "prompts cut": (many(usage_prompt_tokens=90), {}, "prompt lengths", "error", "-10.00%"),
    "short answers": (many(usage_completion_tokens=9), {}, "completion lengths", "error", "18.18%"),
    "short answers, some cut": (
        [
            *many(2, usage_completion_tokens=9, finish_reason="stop"),
            row(7, usage_completion_tokens=3, finish_reason="length"),
        ],
        {},
        "completion lengths",
        "error",
        "(3 requests: 2 ended by stop, 1 ended by length)",
    ),
    "rate limits": (many(rate_limited=1, attempts=2), {}, "no rate limits", "warning", "20 attempts"),
    "a session that moved": (
        [row(0, turn, turns=2, worker=name) for turn, name in enumerate("abb")],
        {},
        "sessions stay",
        "warning",
        "1 of 2 turns",
    ),
    "long answers": (
        many(usage_completion_tokens=22),
        {},
        "completions no longer than asked",
        "error",
        "100.00%",
    ),
    "impossible hits": (many(usage_cached_tokens=1000), {}, "possible cache figures", "error", "20 requests"),
    "too many failures": (
        many(),
        {"end": end(reason="max_failures", wall_time_s=12.0), "max_failures": 5, "duration": 99.0},
        "ran its duration",
        "error",
        "ended by max_failures=5 after 12 of 99 s",
    ),
    "late loop": (many(), {"end": end(LAGGED)}, "client on time", "error", "50.0 ms"),
    "busy client": (many(), {"end": end(SPENT)}, "client not saturated", "error", "95%"),
    "suspects": (many(loop_lag_s=0.01), {}, "few suspect requests", "warning", "100.0%"),
    "answers in one read": (
        [*many(18), *many(2, last_token_s=0.5)],
        {},
        "tokens seen as they came",
        "warning",
        "10.0% of the answers",
    ),
    "censoring": ([*many(2), *(row(i, turns=3) for i in (7, 8))], {}, "little censoring", "warning", "2 of 4"),
    "a stand-in": (many(), {"synthetic": True}, "recorded workload", "warning", "synthetic stand-in"),
    "no cache report": (many(usage_cached_tokens=None), {}, "cache reported", "warning", "no cached tokens"),
    "no usage": (
        many(usage_prompt_tokens=None, usage_completion_tokens=None, usage_cached_tokens=None),
        {},
        "usage reported",
        "warning",
        "no usage",
    ),
    "some usage": ([*many(2), row(9, usage_prompt_tokens=None)], {}, "usage complete", "warning", "2 of 3"),
    "a warm cache": (many(usage_cached_tokens=64), {}, "cold start", "warning", "100.0%"),
    "interrupted": (many(), {"end": end(reason="interrupted")}, "ran its duration", "warning", "interrupted"),
    "killed": (many(), {"end": KILLED}, "ended in order", "warning", "killed"),
    "not streamed": (many(), {"stream": False}, "streaming", "warning", "TTFT"),
    "recorded answers": (many(), {"history": "recorded"}, "answers in the history", "warning", "recorded lengths"),
    "retries": (many(attempts=2), {}, "no retries", "warning", "20 attempts"),
    "a trial": (many(), {"end": end(wall_time_s=20.0)}, "long enough", "warning", "20 s"),
}


@pytest.mark.parametrize(("rows", "about", "check", "level", "said"), CASES.values(), ids=CASES.keys())
def test_a_condition_that_does_not_hold(
    rows: list[RequestRecord], about: dict[str, Any], check: str, level: str, said: str
):
    found = judged(rows, **about)
    (failed,) = [item for item in found.verdict if item.check == check]
    assert (failed.ok, failed.level) == (False, level)
    assert said in failed.found
    assert failed.advice
    assert "\n" not in failed.found + failed.advice
    assert found.valid is (level == "warning")


@pytest.mark.parametrize(("prompt", "ok"), [(110, True), (116, False)])
def test_what_a_template_explains_is_not_held_against_the_lengths(prompt: int, ok: bool):
    about = manifest()
    about["prompts"]["template"] = {"first_tokens": 10, "per_turn_tokens": 13}
    found = summarize(to_table(many(usage_prompt_tokens=prompt)), about)
    (check,) = [check for check in found.verdict if check.check == "prompt lengths"]
    assert check.ok is ok
    assert "beyond the +10.00% of its template" in check.found


def test_an_ordinary_run_passes():
    found = judged(many())
    assert [check.check for check in found.verdict if not check.ok] == []
    assert found.valid


def test_limits_are_the_settings_own():
    rows = many(usage_prompt_tokens=110)
    assert judged(rows, limits={"prompt_drift": 0.2}).valid


def test_our_own_deadline_is_no_failure():
    cut = [row(i, outcome=Outcome.cancelled, error_kind="deadline", first_token_s=None) for i in (50, 51, 52)]
    found = judged([*many(), *cut])
    assert found.valid
    assert found.facts["errors"] == {}
