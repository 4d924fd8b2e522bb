"""Percentiles take values, and times of what completed alone are no headlines: in numbers, tables, pages and sweeps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from helpers.cells import cell
from helpers.known_servers import written
from helpers.manifests import manifest
from helpers.rows import row
from helpers.run_directories import written_run
from rich.console import Console

from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.metrics.definitions import metric_of, number_of
from trie.metrics.evaluate_run import evaluate
from trie.metrics.metric_names import numbers
from trie.metrics.shown_numbers import enough, marked, shown, with_cut_off
from trie.metrics.summary import summarize
from trie.report.page import page_of
from trie.report.terminal import render
from trie.storage import sweep_dir
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.sweep.page import write
from trie.sweep.terminal import show_headline

CUT = {"outcome": Outcome.cancelled, "error_kind": "deadline", "first_token_s": None, "last_token_s": None}


def values_of(rows: list[RequestRecord]) -> dict[str, float | None]:
    return numbers(summarize(to_table(rows), manifest()).to_json())


def traces(completed: int, cut: int = 0) -> list[RequestRecord]:
    """Latencies of 1, 2, 3 ... s; those that were cut off had been in flight for longer than any of them."""
    whole = [row(i, sent=0.0, latency=float(i + 1), ttft=0.5) for i in range(completed)]
    return [*whole, *(row(completed + i, sent=0.0, end_s=99.0, **CUT) for i in range(cut))]


@pytest.mark.parametrize(
    ("completed", "names"),
    [
        (4, []),
        (5, ["p50"]),
        (19, ["p50"]),
        (20, ["p50", "p90"]),
        (40, ["p50", "p90", "p95"]),
        (99, ["p50", "p90", "p95"]),
        (100, ["p50", "p90", "p95", "p99"]),
    ],
)
def test_a_percentile_is_shown_from_enough_values_on(completed: int, names: list[str]) -> None:
    values = values_of(traces(completed))
    assert values["per_trace.latency_s.n"] == completed
    assert all(values[f"per_trace.latency_s.{name}"] is not None for name in ("p50", "p90", "p95", "p99"))
    read = shown(values)
    for section in ("per_trace", "per_request"):
        keys = [f"{section}.latency_s.{name}" for name in ("p50", "p90", "p95", "p99")]
        assert [key.rpartition(".")[2] for key in keys if read[key] is not None] == names
        assert read[f"{section}.latency_s.max"] == completed


def test_n_is_that_of_the_column() -> None:
    """Of 6 traces 2 report no usage: their hit rates are not among the 4."""
    unreported = [row(i, usage_prompt_tokens=None, usage_cached_tokens=None) for i in (10, 11)]
    read = shown(values_of([*traces(4), *unreported]))
    assert (read["per_trace.cache_hit_rate_pct.n"], read["per_trace.latency_s.n"]) == (4, 6)
    assert read["per_trace.cache_hit_rate_pct.p50"] is None
    assert read["per_trace.latency_s.p50"] is not None


def test_a_summary_from_before_n_was_counted_has_at_most_as_many_as_completed() -> None:
    p90 = number_of("per_trace.latency_s.p90")
    assert p90 is not None
    assert not enough(p90, {"traces.completed": 19.0})
    assert enough(p90, {"traces.completed": 20.0})
    assert enough(p90, {})


@pytest.mark.parametrize(("cut", "biased"), [(10, False), (11, True)])
def test_above_a_quarter_cut_off_plain_times_are_no_headlines(cut: int, biased: bool) -> None:
    """30 completed: 10 of 40 are a quarter, 11 of 41 are more."""
    values = values_of(traces(30, cut))
    for path in ("per_trace.latency_s", "per_trace.ttft_s", "per_trace.ttfat_s", "per_request.latency_s"):
        assert marked(metric_of(path), values) is biased, path
    assert not marked(metric_of("per_trace.decode_tps"), values)
    (check,) = [c for c in summarize(to_table(traces(30, cut)), manifest()).verdict if c.id == "times_of_all"]
    assert check.ok is not biased
    if biased:
        assert (
            "of the traces 26.8% were cut off or failed: Latency p50 15.5 s without them and 21 s with" in check.found
        )
    median = number_of("per_trace.latency_s.p50")
    assert median is not None
    assert with_cut_off(median, values) == (20.0 if cut == 10 else 21.0)  # the 20th of 40, the 21st of 41


def test_failed_traces_count_like_those_that_were_cut_off() -> None:
    failed = [row(50 + i, sent=0.0, end_s=9.0, **{**CUT, "outcome": Outcome.failed}) for i in range(11)]
    assert marked(metric_of("per_trace.latency_s"), values_of([*traces(30), *failed]))


def printed(rows: list[RequestRecord], width: int = 120) -> str:
    out = io.StringIO()
    facts = manifest()
    render(summarize(to_table(rows), facts), facts, Console(file=out, width=width, color_system=None))
    return out.getvalue()


def line(text: str, name: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in found.strip("│").split("│")[1:]]


def test_the_terminal_has_dashes_n_and_marks() -> None:
    text = printed(traces(19))
    assert line(text, "p50")[0] == "10.00"
    assert line(text, "p90")[:2] == ["-", "-"]
    assert line(text, "n")[:2] == ["19", "19"]
    assert "*" not in text
    text = printed(traces(20, 10))
    assert "Latency (s) *" in text
    assert "Decode TPS (tok/s) *" not in text
    assert "* of completed traces alone, which are the short ones: 33.3 % were cut off or failed" in text
    assert "TTFT p50 0.500 s, TTFAT p50 0.500 s, latency p50 15.00 s, p90 - s" in " ".join(text.split())


def test_a_page_shows_the_estimate_instead_of_the_plain_figure(tmp_path: Path) -> None:
    run = written_run(tmp_path / "a", traces(20, 10))
    html = page_of(evaluate(run)).html()
    assert "Trace latency p50 with what was cut off" in html
    assert "10.50 s over completed ones alone" in html
    plain = page_of(evaluate(written_run(tmp_path / "b", traces(20)))).html()
    assert "with what was cut off" not in plain
    assert "n 20" in plain


def headline(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    show_headline(rows, Console(file=out, width=120, color_system=None))
    return out.getvalue()


def test_a_sweep_shows_dashes_and_marks_and_its_files_keep_all(tmp_path: Path) -> None:
    written_run(tmp_path / "w-c8", traces(19, 9), concurrency={"value": 8})
    rows = write(tmp_path, sweep_dir.find(tmp_path))
    assert rows[0]["latency_s_p90"] is not None
    assert rows[0]["latency_s_n"] == 19
    text = headline(rows)
    assert line(text, "  Latency p90 (s)") == ["-"]
    assert line(text, "  TTFAT p50 (s)") == ["0.500*"]
    assert "* over completed ones alone: more than 25% were cut off or failed" in " ".join(text.split())
    assert "0.500*" in (tmp_path / "sweep.html").read_text()


def test_a_point_of_too_few_values_is_on_no_curve() -> None:
    few, many = (cell(8, 100.0, ttfat_s_p50=1.0, ttfat_s_n=n, traces_completed=n) for n in (4, 5))
    assert "1.00" not in headline([few])
    assert "1.00" in headline([many])


def test_a_comparison_shows_no_percentile_of_too_few(tmp_path: Path) -> None:
    a = written(tmp_path / "a")
    b = written_run(tmp_path / "b", traces(19), workload={"sha256": "aa" * 32}).path
    (pair,) = compare([a, b], Settings(resamples=100)).pairs
    full = {difference.of.key: difference for difference in pair.differences}
    read = {difference.of.key: difference for difference in pair.shown}
    assert full["per_trace.latency_s.p90"].candidate is not None  # gates and --json have it
    assert read["per_trace.latency_s.p90"].candidate is None
    assert read["per_trace.latency_s.p90"].baseline == full["per_trace.latency_s.p90"].baseline is not None
    assert read["per_trace.latency_s.p90"].verdict is None
    assert read["per_trace.latency_s.p50"] == full["per_trace.latency_s.p50"]
    assert full["per_trace.latency_s.n"].candidate == 19
