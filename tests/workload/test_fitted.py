"""Stand-ins fitted to a workload: known marginals and correlations come back."""

from __future__ import annotations

import numpy as np
import pytest

from trie.errors import WorkloadError
from trie.workload import jsonl, synthetic
from trie.workload.fitted import closeness, fit, kolmogorov_smirnov, normal_scores, workload_of
from trie.workload.load import from_traces
from trie.workload.row import parse_trace
from trie.workload.trace import Trace


def test_two_samples_are_as_far_apart_as_their_distributions() -> None:
    # At 2: all of the first sample, half of the second.
    assert kolmogorov_smirnov(np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])) == 0.5
    assert kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.0
    assert kolmogorov_smirnov(np.array([]), np.array([1.0])) == 1.0


def test_scores_are_those_of_ranks_and_equal_values_share_theirs() -> None:
    scores = normal_scores(np.array([5.0, 100.0, 5.0, 7.0]))
    assert scores[0] == scores[2]
    assert scores[0] < scores[3] < scores[1]
    # Middle ranks 1, 2.5 and 3.5 of 4: the normal quantiles of 0.25, 0.625, 0.875.
    assert scores[[0, 3, 1]] == pytest.approx([-0.6745, 0.3186, 1.1503], abs=1e-3)


def test_a_stand_in_of_a_stand_in_is_like_it() -> None:
    recorded = from_traces(synthetic.draw("agentic", 3000, 1), name="recorded")
    drawn = fit(recorded).draw(3000, 2)
    near = closeness(recorded, workload_of(drawn, "recorded"))
    assert {title: distance for title, distance in near.distances.items() if distance > 0.06} == {}
    first, second = near.ideal_hit_rates
    assert first == pytest.approx(second, abs=0.005)
    turns, finals = (
        np.array([getattr(trace, name) for trace in drawn], float)
        for name in ("num_turns", "final_assistant_response_length")
    )
    # 0.48 is what the first was drawn with.
    assert np.corrcoef(normal_scores(turns), normal_scores(finals))[0, 1] == pytest.approx(0.48, abs=0.05)
    cold = np.array([trace.tool_call_latency[0] > 10 for trace in drawn if trace.num_turns])
    large = np.array([trace.tool_call_output_length[0] > 3000 for trace in drawn if trace.num_turns])
    assert cold.mean() == pytest.approx(0.29, abs=0.05)
    assert large[cold].mean() > 2 * large[~cold].mean(), "slow first calls return much"


def test_drawn_traces_follow_the_seed_and_are_allowed() -> None:
    fitted = fit(from_traces(synthetic.draw("qa", 300, 5)))
    assert fitted.draw(50, 1) == fitted.draw(50, 1) != fitted.draw(50, 2)
    for trace in fitted.draw(200, 3):
        parse_trace(jsonl.row(trace), where="drawn")


def test_no_recorded_trace_is_repeated() -> None:
    recorded = synthetic.draw("agentic", 500, 1)
    lists = {trace.tool_call_output_length for trace in recorded if trace.num_turns > 3}
    drawn = fit(from_traces(recorded)).draw(500, 1)
    assert not lists & {trace.tool_call_output_length for trace in drawn}


def test_too_few_traces_are_refused() -> None:
    with pytest.raises(WorkloadError, match="1 traces have more than a turn, a fit needs at least 20"):
        fit(from_traces([Trace(1, (1, 1), (1, 1), (0.0, 0.0), 1), Trace(1, (), (), (), 1)]))
