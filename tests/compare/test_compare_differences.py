"""Two runs of known servers: the differences that must be found, and those that must not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_servers import Server, sessions, written

from trie.compare.comparison import Pair, compare
from trie.compare.differences import Difference, Settings
from trie.compare.runs import read
from trie.storage.record import Outcome

QUICK = Settings(resamples=300)


def pair(a: Path, b: Path) -> Pair:
    (found,) = compare([a, b], QUICK).pairs
    return found


def by_key(found: Pair) -> dict[str, Difference]:
    return {difference.of.key: difference for difference in found.differences}


@pytest.mark.parametrize("about", [{}, {"duration": 80.0, "end": {"wall_time_s": 100.0, "drain_s": 20.0}}])
def test_units_add_up_to_the_summary(tmp_path: Path, about: dict[str, Any]) -> None:
    """Every sample and ratio, on the run as it is, gives the number in summary.json; also where traces went on."""
    run = read("A", written(tmp_path / "a", Server(fail=7), num_gpus=2, **about))
    assert run.units is not None
    stated = run.numbers
    assert not len(run.units.samples["per_request.max_gap_s"].values)  # these rows have none
    for key, sample in run.units.samples.items():
        if stated[f"{key}.mean"] is None:
            assert not len(sample.values)
            continue
        assert sample.values.mean() == pytest.approx(stated[f"{key}.mean"], rel=1e-12)
        assert np.percentile(sample.values, 99) == pytest.approx(stated[f"{key}.p99"], rel=1e-12)
    assert len(run.units.ratios) == 4 * 4 + 1 + 15
    for key, ratio in run.units.ratios.items():
        if stated[key] is None:
            assert ratio.below.sum() == 0
            continue
        assert ratio.factor * ratio.above.sum() / ratio.below.sum() == pytest.approx(stated[key], rel=1e-9), key


def test_a_run_beside_itself_differs_in_nothing(tmp_path: Path) -> None:
    run = written(tmp_path / "a")
    found = pair(run, run)
    assert {difference.change for difference in found.differences} <= {0.0, None}
    assert {difference.verdict for difference in found.differences} <= {"noise", None}
    assert not found.settings
    assert not found.facts
    assert not found.doubts
    assert found.paired == 60


def test_a_slower_step_is_found_with_its_size_and_direction(tmp_path: Path) -> None:
    """Without scatter a step of 12.5 ms instead of 10 gives 80 tok/s instead of 100 to every trace."""
    a = written(tmp_path / "a", Server(noise=0.0))
    b = written(tmp_path / "b", Server(noise=0.0, step_s=0.0125))
    found = by_key(pair(a, b))
    speed = found["per_trace.decode_tps.mean"]
    assert (speed.baseline, speed.candidate) == (pytest.approx(100.0), pytest.approx(80.0))
    assert speed.relative == pytest.approx(-0.2)
    assert (speed.relative_low, speed.relative_high) == (pytest.approx(-0.2), pytest.approx(-0.2))
    assert (speed.verdict, speed.speaks_for) == ("lower", "worse")
    assert found["per_trace.latency_s.mean"].verdict == "higher"
    assert found["workload.completion_tok_s.steady_state"].verdict == "lower"
    assert found["per_request.tpot_s.p50"].verdict == "higher"
    assert found["per_trace.ttft_s.p50"].verdict == "noise"


def test_direction_is_the_metrics_own(tmp_path: Path) -> None:
    """More hits are better; more prompt drift is neither."""
    a, b = written(tmp_path / "a", Server(hits=0.2)), written(tmp_path / "b", Server(hits=0.6))
    found = by_key(pair(a, b))
    assert found["cache.hit_rate_pct"].speaks_for == "better"
    assert found["per_trace.cache_hit_rate_pct.mean"].speaks_for == "better"
    expected = found["workload.cached_prompt_tok_s.steady_state"]  # by the accounting of the traces
    assert (expected.of.better, expected.speaks_for) == (None, None)
    assert found["traces.completed"].verdict is None  # a count has no interval


def test_noise_alone_is_called_noise(tmp_path: Path) -> None:
    """The same server twice, with other luck: of some 60 intervals of 95 % a few may leave 0 out, not many."""
    a, b = written(tmp_path / "a", Server(seed=1)), written(tmp_path / "b", Server(seed=2))
    verdicts = [found.verdict for found in pair(a, b).differences if found.verdict is not None]
    assert len(verdicts) > 50
    assert verdicts.count("noise") >= 0.8 * len(verdicts)


def test_a_first_token_is_known_no_better_than_the_client_was_on_time(tmp_path: Path) -> None:
    """Clients that are late by 1 and 3 ms make the interval of TTFT wider by 4 ms on both sides, and no other."""
    a, b = written(tmp_path / "a", Server(seed=1)), written(tmp_path / "b", Server(seed=2))
    before = by_key(pair(a, b))
    for folder, late_s in ((a, 0.001), (b, 0.003)):
        manifest = json.loads((folder / "manifest.json").read_text())
        late = manifest["end"]["client"]["loop_lag_p99_s"] + late_s
        manifest["end"]["client"]["loop_lag_p99_s"] = late
        (folder / "manifest.json").write_text(json.dumps(manifest))
    after = by_key(pair(a, b))
    assert before["client.suspect_share"].verdict is None
    for key, wider in (("per_request.ttft_s.p50", 0.004), ("per_request.tpot_s.p50", 0.0)):
        for bound, sign in (("low", -1), ("high", 1)):
            moved = getattr(after[key], bound) - getattr(before[key], bound)
            assert moved == pytest.approx(sign * wider, abs=1e-12)


def test_traces_of_another_workload_are_never_paired(tmp_path: Path) -> None:
    a = written(tmp_path / "a", Server(seed=1))
    b = written(tmp_path / "b", Server(seed=2), sha256="bb" * 32)
    c = written(tmp_path / "c", Server(seed=2))
    apart, together = pair(a, b), pair(a, c)
    assert apart.paired == 0
    assert together.paired == 60
    width = [by_key(found)["per_trace.latency_s.mean"] for found in (apart, together)]
    assert (width[0].high - width[0].low) > 2 * (width[1].high - width[1].low)  # type: ignore[operator]


def test_what_was_not_measured_is_none_and_never_zero(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b", stream=False)
    found = pair(a, b)
    ttft = by_key(found)["per_trace.ttft_s.p50"]
    assert ttft.baseline is not None
    assert (ttft.candidate, ttft.change, ttft.relative, ttft.low, ttft.verdict) == (None,) * 5
    text = json.dumps(compare([a, b], QUICK).to_json(), allow_nan=False)
    assert json.loads(text)["cells"][0]["pairs"][0]["metrics"]["per_trace.ttft_s.p50"]["candidate"] is None


def test_few_traces_have_no_interval(tmp_path: Path) -> None:
    """9 traces are too few for any; 60 are too few for a p99, which 3 of 300 would be beyond."""
    some = [row for row in sessions(Server(), wall_s=100.0) if row.trace_id < 9]
    a = written(tmp_path / "a", rows=some)
    assert {found.low for found in pair(a, a).differences} == {None}
    b = written(tmp_path / "b", rows=[row for row in sessions(Server(), wall_s=100.0) if row.session_id < 60])
    found = by_key(pair(b, b))
    assert found["per_trace.latency_s.p99"].low is None
    assert found["per_trace.latency_s.p95"].low is not None


def test_a_run_without_its_rows_is_compared_without_intervals(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b", Server(step_s=0.02))
    for part in (a / "requests").iterdir():
        part.unlink()
    (a / "requests").rmdir()
    found = pair(a, b)
    assert found.paired is None
    assert by_key(found)["per_trace.decode_tps.mean"].relative == pytest.approx(-0.5, abs=0.01)
    assert {difference.low for difference in found.differences} == {None}


def test_nothing_completed_is_no_crash(tmp_path: Path) -> None:
    rows = [row for row in sessions(Server(), wall_s=100.0) if row.outcome is Outcome.cancelled]
    found = pair(written(tmp_path / "a"), written(tmp_path / "b", rows=rows))
    assert by_key(found)["per_trace.latency_s.mean"].candidate is None
    assert [doubt.what for doubt in found.doubts] == ["candidate invalid", "length", "cut off"]
    empty = pair(written(tmp_path / "c", rows=[]), written(tmp_path / "d", rows=[]))
    assert by_key(empty)["per_trace.latency_s.mean"].change is None
