"""Failures as they come: logged once, counted, and too many of them."""

from __future__ import annotations

import logging

import pytest
from helpers.rows import planned_row

from trie.replay.counters import Counters
from trie.replay.failure_policy import MAX_LOGGED, FailureWatch
from trie.storage.record import Outcome


def watch(
    counters: Counters, *, concurrency: int = 8, failures: int | None = None, rate: float | None = None
) -> FailureWatch:
    return FailureWatch(counters, concurrency=concurrency, max_failures=failures, max_failure_rate=rate)


def test_an_error_is_logged_once_and_its_count_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Ids, ports and times do not make another error of the same one; an error that came once has no count."""
    caplog.set_level(logging.INFO, "trie")
    failures = watch(Counters())
    for number in range(1000):
        failures.note(
            planned_row(number, 0, 0, outcome=Outcome.failed, error_kind="http_status", error=f"HTTP 500: id {number}")
        )
    failures.note(planned_row(0, 0, 0, outcome=Outcome.failed, error_kind="reset", error="it broke"))
    failures.conclude()
    assert caplog.messages == [
        "request failed, http_status: HTTP 500: id 0 (repeats are counted)",
        "request failed, reset: it broke (repeats are counted)",
        "failed 1000 times, http_status: HTTP 500: id 0",
    ]


def test_a_storm_of_different_errors_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    failures = watch(Counters())
    for number in range(500):
        word = "".join(chr(ord("g") + int(digit)) for digit in str(number))
        failures.note(planned_row(0, 0, 0, outcome=Outcome.failed, error_kind="http_status", error=f"HTTP 400: {word}"))
    failures.conclude()
    assert len(caplog.messages) == MAX_LOGGED + 2
    assert caplog.messages[-1] == f"failed {500 - MAX_LOGGED} times, other errors"


@pytest.mark.parametrize(
    ("failures", "rate", "ok", "failed", "reason"),
    [
        (5, None, 1000, 4, None),
        (5, None, 1000, 5, "max_failures"),
        (None, 0.5, 49, 50, None),  # 99 requests say little
        (None, 0.5, 50, 50, "max_failure_rate"),
        (None, 0.5, 51, 50, None),
        (None, 1.0, 0, 100, "max_failure_rate"),
        (None, 1.0, 1, 10_000, None),
        (None, None, 0, 10_000, None),
        (5, 0.5, 0, 100, "max_failures"),
    ],
)
def test_limits(failures: int | None, rate: float | None, ok: int, failed: int, reason: str | None) -> None:
    counters = Counters(requests_ok=ok, requests_failed=failed)
    assert watch(counters, failures=failures, rate=rate).limit_reached() == reason


def test_many_slots_need_more_requests_for_a_share() -> None:
    """At concurrency 400 the first failures of all slots, at once, are no verdict: two a slot are."""
    counters = Counters(requests_failed=799)
    assert watch(counters, concurrency=400, rate=1.0).limit_reached() is None
    counters.requests_failed = 800
    assert watch(counters, concurrency=400, rate=1.0).limit_reached() == "max_failure_rate"
