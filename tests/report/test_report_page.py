"""The page of a run: ordinary, killed, empty, huge, and with text that means harm."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.generated_runs import generated_manifest, generated_run
from helpers.rows import row

from trie.metrics.columns import Columns
from trie.metrics.evaluate_run import evaluate
from trie.metrics.sections import Plateau, Steadiness
from trie.metrics.summary import summarize
from trie.report.html.document import Page
from trie.report.page import page_of, run_page, write_page
from trie.storage.manifest import Manifest
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.storage.run_dir import RunDir

HOSTILE = "</script><script>alert(1)</script>"
SHOWN = [
    "completion-throughput", "ttft", "tpot", "trace-latency", "cache-by-turn", "ttft-by-new-tokens", "phases",
    "timeline",
]  # fmt: skip
WRITTEN = [
    "cumulative-prompt", "cumulative-completion", "prompt-throughput", "concurrency", "request-latency", "outcomes",
    "client-lateness",
]  # fmt: skip


def request(session: int, turn: int = 0, turns: int = 0, **fields: Any) -> RequestRecord:
    """0.1 s to the first token, 1.1 s to the end, 11 tokens for a prompt of 10."""
    return row(session, turn, turns, sent=session + 2.0 * turn, **{"ttft": 0.1, "latency": 1.1, "prompt": 10, **fields})


def page(*rows: RequestRecord, about: Manifest | None = None) -> Page:
    about = generated_manifest(slots=2, duration_s=100.0) if about is None else about
    columns = Columns(to_table(rows))
    return run_page(columns, summarize(columns, about), about)


def drawn(found: Page) -> list[str]:
    return [plot.key for plot in (*found.plots(), *found.further_plots) if not plot.empty]


def test_a_run_shows_its_plots_in_order_and_writes_all_of_them():
    found = page(*(request(session, turn, 1) for session in range(20) for turn in (0, 1)))
    assert [plot.key for plot in found.plots()] == SHOWN
    assert drawn(found) == [*SHOWN, *WRITTEN]
    html = found.html()
    assert "<h1>some/model on http://host:8000/v1</h1>" in html
    assert "generated, concurrency 2, 100 s, 2023-11-14 22:13 UTC, http://host:8000/v1" in html
    assert html.index("verdict") < html.index("Completion throughput") < html.index("Per-trace metrics")
    for said in ("Workload metrics", "Per-request metrics", "Every setting of the run", "limits.loop_lag_s"):
        assert said in html


def test_plateaus_are_a_table_where_the_level_shifted():
    columns, about = Columns(to_table([request(i) for i in range(9)])), generated_manifest(slots=2, duration_s=100.0)
    summary = summarize(columns, about)
    assert "Plateaus" not in run_page(columns, summary, about).html()
    halves = (Plateau(20.0, 60.0, completion_tok_s=50.0, tpot_s=0.02), Plateau(60.0, 100.0, completion_tok_s=30.0))
    html = run_page(columns, replace(summary, steadiness=Steadiness(plateaus=halves)), about).html()
    assert "<caption>Plateaus</caption>" in html
    assert ">20.00<" in html  # TPOT in ms


def test_failures_have_a_section_where_there_are_any():
    well = [request(i) for i in range(9)]
    failed = request(9, outcome=Outcome.failed, error_kind="reset")
    assert "Outcomes" not in page(*well).html()
    found = page(*well, failed)
    assert [plot.key for plot in found.plots()] == [*SHOWN, "outcomes"]
    assert "Outcomes" in found.html()


def test_where_the_client_was_late_the_page_shows_when():
    assert [plot.key for plot in page(request(0, loop_lag_s=5.0)).plots()] == [*SHOWN, "client-lateness"]


def test_captions_say_what_was_left_out(tmp_path: Path):
    found = page_of(evaluate(RunDir.open(generated_run(tmp_path / "run", 20_000, duration_s=1000.0))))
    captions = {plot.key: plot.caption for plot in (*found.plots(), *found.further_plots)}
    assert re.search(r"1,500 of 19,\d{3} requests, drawn evenly at random", captions["ttft-by-new-tokens"])
    assert "At most 200 quantiles" in captions["ttft"]
    assert re.search("An excerpt of the run: (599|600).0 s", captions["timeline"])  # the middle of steady state
    assert "every 5 s" in captions["cumulative-prompt"]


def test_a_long_run_makes_a_page_below_two_megabytes(tmp_path: Path):
    run = evaluate(RunDir.open(generated_run(tmp_path / "run", 50_000)))
    assert write_page(run).stat().st_size < 1_500_000


def test_a_run_of_nothing_has_a_page():
    found = page()
    assert drawn(found) == []
    assert "INVALID" in found.html()
    assert "Not measured" in found.html()


def test_a_killed_run_has_a_page():
    about = replace(generated_manifest(slots=2, duration_s=100.0), end=None)
    found = page(request(0), request(1, outcome=Outcome.cancelled, end_s=None, last_token_s=None), about=about)
    assert "the run was killed" in found.html()
    assert "concurrency" in drawn(found)


def test_without_streaming_and_usage_the_rest_is_drawn():
    about = generated_manifest(slots=2, duration_s=100.0, stream=False)
    unseen = {"first_token_s": None, "last_token_s": None, "usage_prompt_tokens": None, "usage_cached_tokens": None}
    found = page(*(request(i, usage_completion_tokens=None, **unseen) for i in range(4)), about=about)
    assert {*SHOWN, *WRITTEN} - set(drawn(found)) == {"ttft", "tpot", "ttft-by-new-tokens", "cache-by-turn"}


def test_failures_are_a_table_with_what_the_server_said():
    rows = [request(i, outcome=Outcome.failed, error_kind="http_503", http_status=503, error=HOSTILE) for i in range(3)]
    html = page(request(9), *rows).html()
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in html
    assert HOSTILE not in html
    assert re.search(r'>http_503</th><td>503</td><td[^>]*data-value="3.0"[^>]*>3</td>', html)


def test_foreign_text_in_what_was_run_is_text():
    ordinary = generated_manifest(slots=2, duration_s=100.0)
    about = replace(
        ordinary,
        server=replace(ordinary.server, model=HOSTILE),
        workload=replace(ordinary.workload, name=HOSTILE, source=HOSTILE),
        prompts=replace(ordinary.prompts, finding=HOSTILE),
        config={**ordinary.config, "endpoint": {"extra_body": {HOSTILE: HOSTILE}}},
    )
    html = page(request(0), about=about).html()
    assert HOSTILE not in html
    assert html.count("&lt;script&gt;alert(1)") >= 6


def test_rows_without_instants_make_a_page():
    """As others may write them: nothing that is not a number gets into what the page draws."""
    unknown = {"queued_s": 0.0, "sent_s": None, "first_token_s": None, "last_token_s": None, "end_s": None}
    assert drawn(page(*(request(i, **unknown) for i in range(2)), about=generated_manifest(slots=2, duration_s=9.0)))
    assert page(*(request(i, **unknown) for i in range(2))).html()


@pytest.mark.parametrize("count", [1, 2])
def test_a_request_or_two_make_a_page(count: int):
    assert "timeline" in drawn(page(*(request(i) for i in range(count))))
