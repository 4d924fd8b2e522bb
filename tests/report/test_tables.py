"""Reports as text: complete, within 80 columns, and free of anybody's control sequences."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from support import manifest, row

from trie.metrics.declarations import PER_TRACE, STATISTICS, WINDOW_LABELS, WORKLOAD
from trie.metrics.summary import summarize
from trie.records import Outcome, to_table
from trie.report.tables import complete_line, render, starting_line


def rendered(width: int = 120, rows: list[Any] | None = None, **given: Any) -> str:
    rows = rows if rows is not None else [row(0, 0, 0, sent_s=0.0, first_token_s=1.0, end_s=2.0)]
    facts = manifest(**given)
    out = io.StringIO()
    render(summarize(to_table(rows), facts), facts, Console(file=out, width=width, color_system=None))
    return out.getvalue()


def test_the_references_tables_are_there() -> None:
    text = rendered()
    for label in (*(m.label for m in PER_TRACE), *STATISTICS, *(m.label for m in WORKLOAD), *WINDOW_LABELS):
        assert label in text
    assert "Per-trace metrics" in text
    assert "completed=1/1 trace/s=0.010" in text


def test_tables_fit_80_columns() -> None:
    text = rendered(width=80)
    tables = [line for line in text.splitlines() if line and line[0] in "┏┃┡│└"]
    assert tables
    assert max(map(len, tables)) <= 80


def test_a_stand_in_is_called_one() -> None:
    assert "synthetic stand-in" in rendered(synthetic=True)
    assert "synthetic stand-in" not in rendered()


@pytest.mark.parametrize("rows", [[], [row(0, 0, 0, outcome=Outcome.failed)]])
def test_runs_without_a_number_are_shown(rows: list[Any]) -> None:
    assert "INVALID" in rendered(rows=rows)


def test_markup_and_control_sequences_stay_text() -> None:
    facts = manifest()
    facts["server"]["model"] = "[red]m[/red]\x1b[31m"
    out = io.StringIO()
    render(summarize(to_table([]), facts), facts, Console(file=out, width=120, color_system=None))
    assert "[red]m[/red]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_log_lines_have_the_references_fields() -> None:
    facts = manifest(num_gpus=4)
    line = "starting benchmark concurrency=8 duration=300.0 model=m num_gpus=4 workload_templates=2"
    assert starting_line(facts) == line
    done = complete_line(summarize(to_table([row(0, 0, 0, sent_s=0.0, end_s=2.0)]), facts))
    assert done.startswith("benchmark complete completed_requests=1 failed_requests=0 ")
    assert "wall_time_s=100.0" in done
