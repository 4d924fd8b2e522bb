"""Reports as text: both layouts, a pipe, a poor encoding, and text that means harm."""

from __future__ import annotations

import io
from typing import Any

import pytest
from helpers.manifests import manifest
from helpers.rows import row
from rich.cells import cell_len
from rich.console import Console

from trie.metrics.definitions import PER_TRACE, WORKLOAD, declared
from trie.metrics.summary import Summary, summarize
from trie.report.terminal import complete_line, render, starting_line
from trie.storage.manifest import Manifest
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord


def request(session: int, turn: int = 0, turns: int = 0, scale: float = 1.0, **fields: Any) -> RequestRecord:
    lengths = {"prompt": 1000, "completion": 101, "ttft": 0.25 * scale, "latency": 1.25 * scale}
    return row(session, turn, turns, sent=session, trace_id=0, **{**lengths, "max_gap_s": 0.01, **fields})


def ordinary_manifest(**about: Any) -> Manifest:
    """300 s at concurrency 24 on 4 GPUs, without the client's own figures."""
    ordinary = {
        "workload": {"name": "agentic", "traces": 8192, "source": "hub"},
        "server": {"model": "some/model"},
        "end": {"wall_time_s": 300.0, "client": None},
        "concurrency": {"value": 24},
        "num_gpus": 4,
        "duration": 300.0,
    }
    return manifest(**{**ordinary, **about})


ROWS = [request(i) for i in range(20)]
HUGE = [request(i, scale=54321.0, usage_prompt_tokens=None, error="x" * 500) for i in range(20)]


def shown(rows: list[RequestRecord], width: int, facts: Manifest | None = None, encoding: str = "utf-8") -> str:
    facts = facts or ordinary_manifest()
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    summary = summarize(to_table(rows), facts)
    render(summary, facts, Console(file=file, width=width, force_terminal=False, color_system=None))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("rows", [ROWS, HUGE, []], ids=["ordinary", "huge", "none"])
@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_console(rows: list[RequestRecord], width: int):
    text = shown(rows, width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_every_metric_is_named_at_any_width(width: int):
    text = " ".join(shown(ROWS, width).split())
    for metric in (*declared(PER_TRACE), *declared(WORKLOAD)):
        assert metric.heading in text
    assert "Per-trace metrics" in text
    assert "Workload metrics" in text
    assert "completed=20/20 trace/s=0.067 (whole traces)" in text


def test_the_layout_of_the_reference_where_there_is_room():
    lines = [line.strip("│ ").split()[0] for line in shown(ROWS, 120).splitlines() if line.startswith("│")]
    assert lines[:7] == ["mean", "min", "p50", "p90", "p95", "p99", "max"]
    text = shown(ROWS, 120)
    for column in ("Overall", "Last 30s Window", "Steady State", "Steady State / GPU"):
        assert column in text


def test_the_figures_are_those_of_the_summary():
    text = shown(ROWS, 120)
    mean = next(line for line in text.splitlines() if line.startswith("│ mean"))
    assert [cell.strip() for cell in mean.split("│")[2:6]] == ["1.250", "0.250", "0.250", "100.00"]


def test_what_was_not_measured_is_a_dash():
    text = shown([request(0, usage_prompt_tokens=None, usage_cached_tokens=None)], 120)
    mean = next(line for line in text.splitlines() if line.startswith("│ mean"))
    assert [cell.strip() for cell in mean.split("│")[6:8]] == ["-", "-"]


def test_a_stand_in_is_called_one():
    workload = {"name": "agentic-synthetic", "synthetic": True, "traces": 8192, "source": "drawn"}
    text = shown(ROWS, 80, ordinary_manifest(workload=workload))
    assert "agentic-synthetic [synthetic stand-in]" in text
    assert "the workload is not recorded: agentic-synthetic" in " ".join(text.split())


def test_foreign_text_steers_nothing():
    server = {"base_url": "http://h", "embedded": False, "model": "\x1b]0;owned\x07\x1b[31m[red]m[/red]\r\nVALID"}
    text = shown(ROWS, 80, ordinary_manifest(server=server))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "[red]m[/red]" in text
    assert not any(line.startswith("VALID") for line in text.splitlines())
    assert "\x1b" not in starting_line(ordinary_manifest(server=server))


def test_a_pipe_that_knows_only_ascii():
    server = {"base_url": "http://h", "embedded": False, "model": "modèle"}
    text = shown(ROWS, 80, ordinary_manifest(server=server), encoding="ascii")
    assert "mod?le" in text


def test_colours_only_on_a_terminal():
    file = io.StringIO()
    facts = ordinary_manifest()
    render(summarize(to_table(ROWS), facts), facts, Console(file=file, width=80, force_terminal=True))
    assert "\x1b[" in file.getvalue()
    assert "\x1b[" not in shown(ROWS, 80)


def test_the_verdict_with_what_to_do():
    failed = [request(i, outcome=Outcome.failed, error_kind="reset", first_token_s=None) for i in range(30, 40)]
    text = " ".join(shown(ROWS + failed, 80).split())
    assert "verdict INVALID" in text
    assert "too many requests failed: 10 of 30 requests failed (33.3%: reset 10); fix the server" in text
    assert "verdict VALID" in shown([request(i) for i in range(24)], 80).replace("    ", " ")


def test_a_report_out_of_summary_json_is_the_same():
    facts = ordinary_manifest()
    summary = summarize(to_table(ROWS), facts)
    texts = []
    for found in (summary, Summary.from_json(summary.to_json())):
        file = io.StringIO()
        render(found, facts, Console(file=file, width=80))
        texts.append(file.getvalue())
    assert texts[0] == texts[1]


def test_the_two_log_lines():
    facts = ordinary_manifest()
    assert starting_line(facts) == (
        "starting benchmark concurrency=24 duration=300.0 model=some/model num_gpus=4 workload_templates=8192"
    )
    line = complete_line(summarize(to_table(ROWS), facts))
    assert line.startswith("benchmark complete completed_requests=20 failed_requests=0 ")
    assert "wall_time_s=300.0" in line
    assert line.endswith(" (these requests are whole traces)")
