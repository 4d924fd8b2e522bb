"""A metric that is declared in one place, with its formula, is found everywhere that metrics are."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.known_servers import Server, written
from rich.console import Console

from trie.compare import page as compare_page
from trie.compare import terminal as compare_terminal
from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.export.csv import write_requests
from trie.export.csv import write_summary as write_summary_csv
from trie.metrics import definitions
from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions.metric import (
    MS,
    PER_REQUEST,
    PER_TRACE,
    PERCENT,
    RUN,
    WORKLOAD,
    Headline,
    Metric,
    Ratio,
    Sums,
    Values,
    sums,
)
from trie.metrics.evaluate_run import evaluate
from trie.metrics.summary import Summary
from trie.report.page import page_of
from trie.report.terminal import render
from trie.storage import sweep_dir
from trie.storage.run_dir import RunDir
from trie.sweep.page import write
from trie.sweep.terminal import show_headline


@dataclass(frozen=True)
class Added:
    """A metric that the framework does not have, and one of its numbers out of the rows by another way."""

    metric: Metric
    key: str
    column: str
    name: str
    expected: Callable[[pd.DataFrame], float]


def _decode_s(columns: Columns) -> Floats:
    return columns["end_s"] - columns["first_token_s"]


def _tokens(columns: Columns) -> Floats:
    return columns.per_session(columns["usage_completion_tokens"])


def _long_answers(columns: Columns) -> Sums:
    long = (columns["usage_completion_tokens"] > 50).astype(np.float64)
    return sums(long, np.ones(len(columns)), columns.outcome("ok"))


OF_REQUESTS = Added(
    Metric(
        section=PER_REQUEST, key="decode_s", label="Decode time", unit="s", shown=MS, better="lower",
        definition="from the first token to the end", formula=Values(_decode_s, streaming=True),
        headline=Headline(first=("p50",), place=7, sweep=("p50",), compare=("p50",), curve=True),
    ),
    "per_request.decode_s.p50", "request_decode_s_p50", "Decode time p50",
    lambda rows: float((rows.end_s - rows.first_token_s)[rows.outcome == "ok"].median()),
)  # fmt: skip
OF_TRACES = Added(
    Metric(
        section=PER_TRACE, key="answer_tokens", label="Answer tokens", unit="tokens", better=None,
        definition="completion tokens of a trace", formula=Values(_tokens),
        headline=Headline(first=("max",), place=7, sweep=("max",), compare=("max",)),
    ),
    "per_trace.answer_tokens.max", "answer_tokens_max", "Answer tokens max",
    lambda rows: float(rows[rows.outcome == "ok"].groupby("session_id").usage_completion_tokens.sum().max()),
)  # fmt: skip
OF_THE_WORKLOAD = Added(
    Metric(
        section=WORKLOAD, key="answers_tok_s", label="answers", unit="req/s", better="higher",
        definition="requests that ended well", formula=Values(lambda columns: np.ones(len(columns))),
        headline=Headline(first=("overall",), place=7, sweep=("overall",), compare=("overall",)),
    ),
    "workload.answers_tok_s.overall", "answers_tok_s_overall", "answers Overall",
    lambda rows: float((rows.outcome == "ok").sum()) / 40.0,
)  # fmt: skip
OF_THE_RUN = Added(
    Metric(
        section=RUN, key="cache.long_share", label="long answers", unit="ratio", shown=PERCENT, better="lower",
        definition="share of answers of more than 50 tokens", formula=Ratio(_long_answers),
        headline=Headline(first=("",), place=7, sweep=("",), compare=("",)),
    ),
    "cache.long_share", "cache_long_share", "long answers",
    lambda rows: float((rows.usage_completion_tokens[rows.outcome == "ok"] > 50).mean()),
)  # fmt: skip

ADDED = pytest.mark.parametrize(
    "added", [OF_REQUESTS, OF_TRACES, OF_THE_WORKLOAD, OF_THE_RUN], ids=lambda added: added.metric.key
)


@pytest.fixture
def sweeps(added: Added, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two sweeps of one cell, made with the metric declared."""
    monkeypatch.setattr(definitions, "METRICS", (*definitions.METRICS, added.metric))
    written(tmp_path / "a" / "w-c8", wall_s=40.0)
    written(tmp_path / "b" / "w-c8", Server(step_s=0.0125), wall_s=40.0)
    return tmp_path / "a", tmp_path / "b"


def printed(show: Callable[[Console], None]) -> str:
    out = io.StringIO()
    show(Console(file=out, width=140, color_system=None))
    return out.getvalue()


@ADDED
def test_a_run_computes_and_shows_it(added: Added, sweeps: tuple[Path, Path]) -> None:
    run = RunDir.open(sweeps[0] / "w-c8")
    expected = added.expected(run.records().to_pandas())
    content = json.loads((run.path / "summary.json").read_text())
    assert sweep_dir.at(content, *added.key.split(".")) == pytest.approx(expected)
    evaluated = evaluate(run)
    assert Summary.from_json(content).to_json() == content
    terminal = printed(lambda console: render(evaluated.summary, evaluated.manifest, console))
    assert added.metric.label in terminal
    html = page_of(evaluated).html()
    assert f">{added.name}</dt>" in html
    assert added.metric.definition in html


@ADDED
def test_sweeps_have_it(added: Added, sweeps: tuple[Path, Path]) -> None:
    sweep, _ = sweeps
    rows = write(sweep, sweep_dir.find(sweep))
    expected = added.expected(RunDir.open(sweep / "w-c8").records().to_pandas())
    assert rows[0][added.column] == pytest.approx(expected)
    with (sweep / "sweep.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert float(line[added.column]) == pytest.approx(expected)
    assert added.metric.label in (sweep / "sweep.html").read_text()
    assert added.name in printed(lambda console: show_headline(rows, console))


@ADDED
def test_comparisons_have_it(added: Added, sweeps: tuple[Path, Path]) -> None:
    comparison = compare([path / "w-c8" for path in sweeps], Settings(resamples=100))
    differences = {difference.of.key: difference for difference in comparison.pairs[0].differences}
    baseline = added.expected(RunDir.open(sweeps[0] / "w-c8").records().to_pandas())
    assert differences[added.key].baseline == pytest.approx(baseline)
    if added.key.endswith("max"):  # a maximum has no interval
        assert differences[added.key].low is None
    else:
        assert differences[added.key].low is not None
    terminal = printed(lambda console: compare_terminal.render(comparison, console, everything=True))
    assert added.metric.label in terminal
    page = compare_page.page(comparison)
    keys = [plot.key for plot in page.plots()]
    assert (f"request-{added.metric.key.replace('_', '-')}" in keys) == added.metric.headline.curve
    changes = next(plot for plot in page.plots() if plot.key == "changes")
    assert any(name.startswith(added.name) for name in changes.data["rows"]["metric"])


@ADDED
def test_exports_have_it(added: Added, sweeps: tuple[Path, Path]) -> None:
    run = evaluate(RunDir.open(sweeps[0] / "w-c8"))
    out = io.StringIO()
    write_summary_csv(run, out)
    lines = {line["key"]: line for line in csv.DictReader(io.StringIO(out.getvalue()))}
    assert lines[added.key]["unit"] == added.metric.unit
    assert float(lines[added.key]["value"]) == pytest.approx(added.expected(run.rows.to_pandas()))
    if added.metric.section is PER_REQUEST:
        out = io.StringIO()
        write_requests(run, out)
        assert added.metric.key in out.getvalue().partition("\n")[0].split(",")


@ADDED
def test_the_documents_have_it(added: Added, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[2] / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate_documents", path)
    assert spec is not None
    assert spec.loader is not None
    documents = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(documents)
    monkeypatch.setattr(definitions, "METRICS", (*definitions.METRICS, added.metric))
    assert f"| {added.metric.name} | `{added.metric.path}` | {added.metric.unit} |" in documents.metrics()


def test_columns_and_keys_are_different_from_each_other() -> None:
    """Two declarations can't give the same number."""
    numbers = list(definitions.numbers())
    assert len({number.key for number in numbers}) == len(numbers)
    assert len({number.column for number in numbers}) == len(numbers)
