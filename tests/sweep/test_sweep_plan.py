"""What a sweep says and decides before it starts."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from trie.config import Order
from trie.one_line import lasting
from trie.storage.sweep_dir import Status
from trie.sweep.plan import Plan, Planned, ordered, time_to_go
from trie.sweep.terminal import show_plan


def cell(concurrency: int = 8, status: Status | None = None, **given: object) -> Planned:
    facts = {"name": f"a-c{concurrency}", "row": "a", "repeat": 1, "duration_s": 7200.0}
    return Planned(concurrency=concurrency, status=status, **{**facts, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.written, ["a1", "a2", "b1", "b2"]),
        (Order.interleaved, ["a1", "b1", "a2", "b2"]),
    ],
)
def test_order_of_repeats(order: Order, expected: list[str]) -> None:
    assert [f"{name}{repeat}" for name, repeat in ordered(["a", "b"], 2, order, 0)] == expected


def test_shuffled_is_another_order_and_the_same_for_the_same_seed() -> None:
    cells = list(range(18))
    first, again, other = (ordered(cells, 2, Order.shuffled, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(first) == sorted(ordered(cells, 2, Order.written, 0))
    assert first != ordered(cells, 2, Order.written, 0)


def test_time_to_go_leaves_out_what_is_done_or_refused() -> None:
    cells = [cell(8, Status.done), cell(16), cell(24, Status.unfinished), cell(32, refused="no")]
    assert time_to_go(cells, 60.0) == 2 * 7200 + 60
    assert time_to_go([cell(8, Status.done)], 60.0) == 0
    assert time_to_go([cell(8, Status.done, again=True)], 60.0) == 7200


def test_plan_says_what_is_done_what_is_not_and_until_when() -> None:
    cells = [
        *(cell(number, Status.done) for number in (8, 16)),
        cell(24, Status.damaged, why="summary.json is missing"),
        cell(32),
        cell(32, repeat=2),
        cell(40, refused="duration=-1.0: must be above 0 (seconds)"),
    ]
    out = io.StringIO()
    show_plan(
        Plan("multirun/x", cells, Order.interleaved, 0.0),
        datetime(2026, 1, 5, 8, 0, tzinfo=UTC),
        Console(file=out, width=80),
    )
    said = out.getvalue()
    assert "6 cells, 10 h of replay in total, 2 repeats, interleaved" in said
    assert "2 done before, 6 h to go, until about Mon 05 Jan 14:00" in said
    assert "│ a           │ done │ done │ 2 h │ 2 x 2 h │ refused │" in said
    assert "again      a-c24, damaged: summary.json is missing" in said
    assert "refused    duration=-1.0: must be above 0 (seconds)" in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "0.5 s"), (45, "45 s"), (1200, "20 min"), (7200, "2 h"), (131400, "36 h 30 min"), (119.9, "120 s")],
)
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    assert lasting(seconds) == said
