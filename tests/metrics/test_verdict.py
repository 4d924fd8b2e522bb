"""The verdict: which findings make a run invalid, which only warn, and that honest runs pass."""

from __future__ import annotations

from typing import Any

import pytest
from support import manifest, row

from trie.metrics.summary import Summary, summarize
from trie.records import Outcome, RequestRecord, to_table


def good(session: int, **given: Any) -> RequestRecord:
    usage = {"usage_prompt_tokens": 10, "usage_completion_tokens": 5, "usage_cached_tokens": 0}
    instants = {"sent_s": 0.0, "first_token_s": 1.0, "end_s": 2.0}
    return row(session, 0, 0, **{**usage, **instants, "attempts": 1, **given})


def judged(rows: list[RequestRecord], **given: Any) -> Summary:
    client = given.pop("client", {})
    facts = manifest(**given)
    if facts["end"]:
        facts["end"]["client"].update(client)
    return summarize(to_table(rows), facts)


def complaints(found: Summary) -> set[str]:
    return {check.check for check in found.verdict if not check.ok}


def test_a_clean_run_is_valid_without_a_word() -> None:
    found = judged([good(session) for session in range(4)])
    assert found.valid
    assert complaints(found) == set()


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        ([row(0, 0, 0, outcome=Outcome.cancelled)], "something completed"),
        ([good(0), row(1, 0, 0, outcome=Outcome.failed, error_kind="reset")], "few failures"),
        ([good(0, usage_prompt_tokens=12)], "prompt lengths"),
        ([good(0, usage_completion_tokens=4)], "completion lengths"),
    ],
)
def test_misleading_numbers_are_invalid(rows: list[RequestRecord], check: str) -> None:
    found = judged(rows)
    assert not found.valid
    assert check in complaints(found)


def test_an_overloaded_client_is_called_so() -> None:
    assert "client on time" in complaints(judged([good(0)], client={"loop_lag_p99_s": 0.2}))
    assert "client not saturated" in complaints(judged([good(0)], client={"cpu_s": 99.0}))


def test_an_honest_slow_server_is_not_the_clients_fault() -> None:
    slow = good(0, first_token_s=60.0, end_s=90.0, max_gap_s=20.0)
    assert judged([slow]).valid


@pytest.mark.parametrize(
    ("rows", "given", "check"),
    [
        ([good(0)], {"synthetic": True}, "recorded workload"),
        ([good(0)], {"stream": False}, "streaming"),
        ([good(0)], {"wall_time_s": 5.0}, "long enough"),
        ([good(0)], {"wall_time_s": None}, "ended in order"),
        ([good(0, usage_cached_tokens=None)], {}, "cache reported"),
        ([good(0, usage_prompt_tokens=None)], {}, "usage reported"),
        ([good(0, usage_cached_tokens=8)], {}, "cold start"),
        ([good(0, attempts=2)], {}, "no retries"),
        ([good(0), row(1, 0, 1, outcome=Outcome.cancelled)], {}, "little censoring"),
        ([good(0, loop_lag_s=0.5)], {}, "few suspect requests"),
    ],
)
def test_conditions_are_warnings(rows: list[RequestRecord], given: dict[str, Any], check: str) -> None:
    found = judged(rows, **given)
    assert found.valid
    assert check in complaints(found)


def test_an_interrupted_run_says_so() -> None:
    facts = manifest()
    facts["end"]["reason"] = "interrupted"
    assert "ran its duration" in complaints(summarize(to_table([good(0)]), facts))


def test_limits_come_from_the_settings() -> None:
    facts = manifest()
    facts["config"]["limits"]["prompt_drift"] = 0.5
    assert summarize(to_table([good(0, usage_prompt_tokens=12)]), facts).valid
