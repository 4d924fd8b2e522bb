"""Knees, fronts and spreads, against figures worked by hand and against the simulator's model in virtual time."""

from __future__ import annotations

import pytest
from helpers.cells import THROUGHPUT, cell
from helpers.closed_loop import throughput

from trie.config import SimConfig
from trie.report.pareto import IN_TOTAL, PER_GPU
from trie.sweep.curves import Curve, Spread, best, curves, knee, pareto
from trie.sweep.curves import throughput as headline
from trie.workload.trace import Trace


def curve(figures: dict[int, float]) -> Curve:
    [curve] = curves([cell(concurrency, value) for concurrency, value in figures.items()])
    return curve


def at(point: object) -> int | None:
    return getattr(point, "concurrency", None)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({8: 100, 16: 190, 24: 200, 32: 199}, 16),  # 190 is 95 % of 200
        ({8: 100, 16: 189, 24: 200, 32: 199}, 24),
        ({8: 200, 16: 190, 24: 180}, 8),
        ({8: 100, 16: 200, 24: 300}, None),  # it may rise on
        ({8: 100, 16: 100}, None),  # too few to tell
        ({}, None),
    ],
)
def test_knee_is_the_least_concurrency_with_most_of_the_throughput(
    figures: dict[int, float], expected: int | None
) -> None:
    drawn = curves([cell(concurrency, value) for concurrency, value in figures.items()])
    assert [at(knee(curve, THROUGHPUT)) for curve in drawn] == ([expected] if figures else [])


@pytest.mark.parametrize(
    ("wait_s", "expected"),
    [
        (0.0, 24),  # all agents decode all the time: the knee is where the slots are full
        (0.12, 32),  # of 0.56 s an agent holds a slot for 0.44: all are held with 30.5 agents
        (0.2, 40),  # of 0.64 s for 0.44: with 34.9 agents
        (0.6, None),  # with 56.7 agents, beyond what was measured
    ],
)
def test_knee_of_the_simulators_model_is_where_its_slots_are_full(wait_s: float, expected: int | None) -> None:
    """Slots m, time in a slot R, a tool's wait Z: m * (R + Z) / R agents keep all slots busy.

    An answer of 11 tokens holds its slot for 11 steps of 0.02 s: ten of its own, and the one that it comes into.
    """
    config = SimConfig(
        prefill_tok_s=1e9, decode_base_s=0.02, decode_per_request_s=0.0, request_overhead_s=0.0, max_running=24
    )
    traces = [Trace(8, (11,), (4,), (wait_s,), 11)]
    figures = {number: throughput(config, traces, number, 40.0) for number in (8, 16, 24, 32, 40, 48)}
    assert at(knee(curve(figures), THROUGHPUT)) == expected
    assert figures[8] == pytest.approx(8 * 22 / (0.44 + wait_s), rel=0.04)  # a tool's wait may end in mid-step


def test_pareto_front_is_what_no_point_beats_in_both() -> None:
    rows = [
        cell(8, 100.0, ttfat_s_p50=1.0, decode_tps_p50=90.0),
        cell(16, 190.0, ttfat_s_p50=2.0, decode_tps_p50=80.0),
        cell(24, 150.0, ttfat_s_p50=3.0, decode_tps_p50=70.0),  # 16 is better in both
        cell(32, 200.0, ttfat_s_p50=4.0, decode_tps_p50=None),
    ]
    [curve] = curves(rows)
    assert [at(point) for point in pareto(curve, THROUGHPUT, "ttfat_s_p50", lower=True)] == [32, 16, 8]
    assert [at(point) for point in pareto(curve, THROUGHPUT, "decode_tps_p50", lower=False)] == [16, 8]
    assert at(best(curve, THROUGHPUT)) == 32


def test_repeats_are_a_spread_and_only_what_is_done_counts() -> None:
    rows = [
        cell(8, 100.0),
        cell(8, 110.0, repeat=2),
        cell(8, 500.0, repeat=3, status="unfinished"),
        cell(16, None, status="failed"),
    ]
    [curve] = curves(rows)
    assert curve.points[0].spread(THROUGHPUT) == Spread(105.0, 100.0, 110.0, 2)
    assert [point.concurrency for point in curve.measured] == [8]
    assert at(best(curve, THROUGHPUT)) == 8


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (Spread(221.4, 221.0, 222.0, 1), "221"),
        (Spread(221.4, 220.0, 224.0, 2), "221 ±2"),
        (Spread(0.0123, 0.011, 0.015, 2), "0.012 ±0.002"),
        (Spread(12.34, 12.0, 13.0, 3), "12.3 ±0.5"),
        (Spread(0.0, 0.0, 0.0, 2), "0 ±0"),
    ],
)
def test_spread_is_shown_in_the_digits_of_its_mean(spread: Spread, text: str) -> None:
    assert spread.text() == text


def test_workloads_and_variants_are_curves_of_their_own() -> None:
    rows = [
        cell(8, 1.0),
        cell(8, 2.0, variant="duration=60.0"),
        cell(8, 3.0, workload="x"),
        {**cell(8), "concurrency": None},  # a cell of which nothing is known
    ]
    assert [curve.label for curve in curves(rows)] == ["w", "w, duration=60.0", "x"]


def test_headline_is_per_gpu_where_every_cell_knows_its_gpus() -> None:
    assert headline(curves([cell(8, 100.0, **{PER_GPU: 50.0})])) == PER_GPU
    assert headline(curves([cell(8, 100.0, **{PER_GPU: 50.0}), cell(16, 100.0)])) == IN_TOTAL
    assert headline([]) == IN_TOTAL
