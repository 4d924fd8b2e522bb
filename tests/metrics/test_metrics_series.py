"""Series over time, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.rows import row

from trie.metrics.columns import Columns
from trie.metrics.series import Bins, completion_rate, cumulative, lateness, medians, phases, ratios, sums
from trie.metrics.throughput import Points, rates
from trie.metrics.traces import traces
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord


def columns(*rows: RequestRecord) -> Columns:
    return Columns(to_table(rows))


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


@pytest.mark.parametrize(
    ("until_s", "most", "width_s", "bins"),
    [(20.0, 240, 0.1, 200), (7200.0, 240, 30, 240), (7200.0, 72, 120, 60), (8.0, 3, 5, 2), (0.3, 10, 0.05, 6)],
)
def test_bins_have_a_width_that_people_count_in(until_s: float, most: int, width_s: float, bins: int):
    found = Bins.over(until_s, most=most)
    assert (found.width_s, len(found)) == (width_s, bins)
    assert (found.edges[0], found.edges[-1]) == (0.0, until_s)
    assert found.widths.sum() == pytest.approx(until_s)


def test_the_last_bin_ends_with_the_run():
    found = Bins.over(8.0, most=3)
    assert found.edges.tolist() == [0.0, 5.0, 8.0]
    assert found.middles.tolist() == [2.5, 6.5]


def test_a_last_bin_of_less_than_half_a_width_is_a_part_of_the_one_before():
    assert Bins.over(60.02, most=30).edges.tolist() == [*range(0, 60, 2), 60.02]
    assert Bins.over(7.0, most=3).edges.tolist() == [0.0, 7.0]
    assert Bins.over(0.01, most=3).edges.tolist() == [0.0, 0.01]


@pytest.mark.parametrize("until_s", [0.0, -1.0, float("nan")])
def test_no_time_has_no_bins(until_s: float):
    bins = Bins.over(until_s, most=10)
    assert len(bins) == 0
    assert bins.open(floats(), floats()).tolist() == []
    assert bins.count(floats()).tolist() == []


def test_days_are_binned_all_the_same():
    assert len(Bins.over(30 * 86_400.0, most=100)) <= 100


def test_intervals_are_open_for_a_share_of_each_bin():
    bins = Bins(2.0, floats(0, 2, 4, 6))
    # 1 to 5 s covers half of the first bin, all of the second, half of the third; 3 to 3.5 s a quarter of the second.
    assert bins.open(floats(1, 3), floats(5, 3.5)).tolist() == pytest.approx([0.5, 1.25, 0.5])


def test_an_interval_without_an_end_and_one_of_no_time_count_for_nothing():
    bins = Bins(2.0, floats(0, 2, 4))
    assert bins.open(floats(1, np.nan, 3), floats(np.nan, 2, 3)).tolist() == [0.0, 0.0]


def test_amounts_are_spread_evenly_and_none_is_lost():
    bins = Bins(1.0, floats(0, 1, 2, 3))
    # 30 over 0.5 to 2 s is 20 a second; 7 at once at 2.5 s; 4 at once on an edge belong to the bin that it ends.
    found = bins.spread(floats(0.5, 2.5, 1.0), floats(2.0, 2.5, 1.0), floats(30, 7, 4))
    assert found.tolist() == pytest.approx([10 + 4, 20, 7])


def test_what_goes_on_after_the_last_bin_is_cut_off():
    bins = Bins(1.0, floats(0, 1, 2))
    assert bins.open(floats(1.5), floats(99.0)).tolist() == pytest.approx([0.0, 0.5])


def test_spreading_agrees_with_plain_loops():
    rng = np.random.default_rng(1)
    start = rng.uniform(0, 50, 300)
    end, amount = start + rng.exponential(4, 300), rng.uniform(0, 9, 300)
    bins = Bins.over(50.0, most=25)
    expected = [0.0] * len(bins)
    for a, b, whole in zip(start, end, amount, strict=True):
        for at in range(len(bins)):
            inside = min(b, bins.edges[at + 1]) - max(a, bins.edges[at])
            expected[at] += whole * max(inside, 0.0) / (b - a)
    assert bins.spread(start, end, amount).tolist() == pytest.approx(expected)


def test_instants_are_counted_into_the_bin_that_they_end():
    bins = Bins(1.0, floats(0, 1, 2))
    assert bins.count(floats(0.0, 0.5, 1.0, 1.5, np.nan, 9.0)).tolist() == [3.0, 2.0]


def test_medians_and_ratios_of_each_bin():
    bins = Bins(1.0, floats(0, 1, 2, 3))
    at, values = floats(0.5, 0.6, 0.7, 1.5, np.nan), floats(1, 9, 2, 7, 3)
    found = medians(at, values, bins, least=2)
    assert (found[0], np.isnan(found[1:]).all()) == (2.0, True)  # of one value there is none
    found = ratios(sums(at, floats(1, 1, 1, 3, 1), floats(2, 2, 2, 4, 0), bins))
    assert found[:2].tolist() == [0.5, 0.75]
    assert np.isnan(found[2])
    assert len(medians(at, values, Bins(1.0, floats(0)), least=1)) == 0


def test_cumulative_tokens_are_those_of_completed_requests():
    points = Points.of(columns(row(0, sent=0.0), row(1, sent=2.0), row(2, sent=0.5, outcome=Outcome.failed)))
    found = cumulative(points, Bins(1.0, floats(0, 1, 2, 3, 4)))  # 11 tokens at 1.5 and at 3.5 s
    assert found["completion_tok_s"].tolist() == [0, 0, 11, 11, 22]
    assert found["uncached_prompt_tok_s"].tolist() == [0, 0, 100, 100, 200]


def test_steady_rate_is_the_slope_over_the_steady_window():
    rows = [row(i, sent=float(i)) for i in range(10)]  # ends at 1.5 to 10.5 s
    points = Points.of(columns(*rows))
    window = points.steady_window()
    assert window == (2.5, 10.5)  # the first end after 20 % of 10.5 s
    found = rates(points, wall_time_s=12.0, num_gpus=None)["completion_tok_s"]
    assert found.steady_state == pytest.approx(8 * 11 / (window[1] - window[0]))


def test_no_request_makes_no_steady_window():
    assert Points.of(columns()).steady_window() is None


def test_completion_rate_is_where_the_tokens_came():
    # 11 tokens from 0.5 to 1.5 s, by the server's count; a failed request's are not counted
    found = completion_rate(columns(row(), row(1, outcome=Outcome.failed)), Bins(1.0, floats(0, 1, 2)))
    assert found.tolist() == pytest.approx([5.5, 5.5])


def test_without_streaming_nobody_knows_where_the_tokens_came():
    found = completion_rate(columns(row(first_token_s=None, last_token_s=None)), Bins(1.0, floats(0, 1, 2)))
    assert np.isnan(found).all()


def test_phases_follow_each_other_within_a_trace():
    rows = columns(row(0, 0, turns=1, sent=0.0), row(0, 1, turns=1, sent=4.0, queued_s=3.9), row(1, 0, sent=2.0))
    found = phases(rows, traces(rows), wall_time_s=10.0)
    assert found.prefill[1].tolist() == [0.5, 4.5, 2.5]
    assert (found.decode[0].tolist(), found.decode[1].tolist()) == ([0.5, 4.5, 2.5], [1.5, 5.5, 3.5])
    assert found.tool_wait[0].tolist() == [1.5, 5.5, 3.5]
    assert found.tool_wait[1][0] == 3.9
    assert np.isnan(found.tool_wait[1][1:]).all()  # nothing follows a final response


def test_a_trace_that_is_cut_off_in_a_tool_wait_waits_until_the_end():
    rows = columns(row(0, 0, turns=1, sent=0.0))
    assert phases(rows, traces(rows), wall_time_s=10.0).tool_wait[1].tolist() == [10.0]


def test_a_request_without_a_first_token_is_prefill_to_its_end():
    rows = columns(row(first_token_s=None, outcome=Outcome.cancelled))
    found = phases(rows, traces(rows), wall_time_s=10.0)
    assert found.prefill[1].tolist() == [1.5]
    assert np.isnan(found.decode[0]).all()


def test_lateness_is_the_worst_of_each_bin():
    rows = columns(row(0, loop_lag_s=0.001), row(1, loop_lag_s=0.004), row(2, sent=2.0, loop_lag_s=0.002))
    found = lateness(rows, Bins(1.0, floats(0, 1, 2, 3, 4)))  # ends at 1.5, 1.5 and 3.5 s
    assert found[[1, 3]].tolist() == [0.004, 0.002]
    assert np.isnan(found[[0, 2]]).all()
