"""When traces of an open load are due: each shape against its distribution, with fixed seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice, pairwise

import pytest

from trie.config import LoadConfig
from trie.errors import ConfigError, WorkloadError
from trie.workload.arrivals import arrivals, due_until, in_order, ramp_step
from trie.workload.trace import Trace

TRACE = Trace(10, (), (), (), 5)
COUNT, RATE = 20_000, 4.0


def test_poisson_arrivals_have_the_gaps_and_the_counts_of_their_process() -> None:
    """Gaps: Kolmogorov-Smirnov against the exponential, 1 % level. Counts in windows: variance / mean is 1."""
    instants = list(islice(arrivals(LoadConfig("poisson", rate=RATE), [TRACE], 11), COUNT))
    gaps = sorted(after - before for before, after in pairwise([0.0, *instants]))
    assert instants[-1] == pytest.approx(COUNT / RATE, rel=4 / math.sqrt(COUNT))
    expected = [1.0 - math.exp(-RATE * gap) for gap in gaps]
    distance = max(max(share - n / COUNT, (n + 1) / COUNT - share) for n, share in enumerate(expected))
    assert distance < 1.63 / math.sqrt(COUNT)
    windows = int(instants[-1] / 5.0)
    counts = [0] * windows
    for at in instants:
        if at < windows * 5.0:
            counts[int(at / 5.0)] += 1
    mean = sum(counts) / windows
    dispersion = sum((count - mean) ** 2 for count in counts) / (windows - 1) / mean
    assert dispersion == pytest.approx(1.0, abs=4 * math.sqrt(2 / (windows - 1)))


def test_arrivals_are_those_of_their_seed() -> None:
    load = LoadConfig("poisson")
    assert list(islice(arrivals(load, [TRACE], 1), 9)) == list(islice(arrivals(load, [TRACE], 1), 9))
    assert next(arrivals(load, [TRACE], 1)) != next(arrivals(load, [TRACE], 2))


def test_constant_arrivals_are_equally_far_apart() -> None:
    assert due_until(LoadConfig("constant", rate=RATE), [TRACE], 0, until_s=1.0) == [0.0, 0.25, 0.5, 0.75]
    assert due_until(LoadConfig("constant", rate=RATE), [TRACE], 0, until_s=9.0, most=2) == [0.0, 0.25]


def test_a_schedule_is_the_recorded_one_from_its_first_trace_on_and_faster() -> None:
    traces = [replace(TRACE, row=row, start_offset_s=at) for row, at in enumerate((30.0, 10.0, 14.0))]
    load = LoadConfig("schedule", speed=4.0)
    assert [trace.row for trace in in_order(load, traces)] == [1, 2, 0]
    assert list(arrivals(load, traces, 0)) == [0.0, 1.0, 5.0]
    with pytest.raises(WorkloadError, match="trace 0 has no start_offset_s"):
        in_order(load, [TRACE])


def test_a_ramp_has_each_level_for_an_equal_part() -> None:
    load = LoadConfig("ramp", levels=[2, 8, 4])
    assert [ramp_step(load, 30.0, at) for at in (0.0, 9.9, 10.0, 29.9, 30.0)] == [0, 0, 1, 2, 2]
    with pytest.raises(ConfigError, match=r"load.levels=\[4, 0\]: must be a list of whole numbers from 1"):
        LoadConfig("ramp", levels=[4, 0])
