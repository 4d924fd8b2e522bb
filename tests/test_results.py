"""`trie.load`: runs and sweeps for scripts and notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.known_servers import Server, written
from helpers.rows import row
from helpers.run_directories import written_run

import trie
from trie.errors import RunDirError
from trie.results import LoadedRun, LoadedSweep
from trie.storage.record import Outcome

DOCS = Path(trie.__file__).parents[1] / "docs"


@pytest.fixture
def run(tmp_path: Path) -> LoadedRun:
    """Two requests of one trace, and one that failed: on disk in the order they ended."""
    rows = [
        row(1, 0, sent=0.0, outcome=Outcome.failed, error_kind="timeout", usage_cached_tokens=None),
        row(0, 0, 1, sent=1.0, ttft=0.5, latency=1.5, completion=11),
        row(0, 1, 1, sent=3.0, ttft=0.25, latency=2.25, completion=11, usage_cached_tokens=64),
    ]
    found = trie.load(written_run(tmp_path / "r", rows).path)
    assert isinstance(found, LoadedRun)
    return found


def test_rows_have_their_times_and_counts_that_may_be_missing(run: LoadedRun) -> None:
    """TPOT by hand: 1.0 s and 2.0 s for the ten tokens after the first."""
    rows = run.rows
    assert rows is run.rows
    assert rows.session_id.tolist() == [1, 0, 0]
    assert rows.ttft_s.tolist()[1:] == [0.5, 0.25]
    assert rows.latency_s.tolist()[1:] == [1.5, 2.25]
    assert rows.tpot_s.tolist()[1:] == pytest.approx([0.1, 0.2])
    assert rows[["ttft_s", "latency_s", "tpot_s"]].iloc[0].isna().all()  # it failed
    assert str(rows.usage_cached_tokens.dtype) == "Int64"
    assert rows.usage_cached_tokens[0] is pd.NA
    assert str(rows.session_id.dtype) == "int64"


def test_a_row_for_each_trace(run: LoadedRun) -> None:
    traces = run.traces.set_index("session_id")
    assert traces.outcome.tolist() == ["completed", "failed"]
    assert traces.latency_s[0] == 4.25  # from 1.0 to 5.25 s
    assert traces.requests_ok.tolist() == [2, 0]


def test_everything_has_a_short_repr_and_plots_show_themselves(run: LoadedRun) -> None:
    assert repr(run).endswith("/r'): Summary(INVALID, 1 traces completed, 2 requests ok)")
    shown: list[Any] = [run, run.summary, run.manifest, run.plots, run.plots["ttft"]]
    assert max(len(repr(item)) for item in shown) < 400
    svg = run.plots["ttft"]._repr_svg_()
    assert svg is not None
    assert svg.startswith("<svg")
    with pytest.raises(KeyError, match="tfft: no such plot; there are "):
        run.plots["tfft"]


def test_a_plot_without_vl_convert_is_a_frame_that_needs_no_network(
    run: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trie.results._vl_convert_is_there", lambda: False)
    plot = run.plots["ttft"]
    assert plot._repr_svg_() is None
    html = plot._repr_html_()
    assert html is not None
    assert re.match(r'<iframe srcdoc="&lt;!doctype html&gt;', html)
    assert "Content-Security-Policy" in html


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match=r"holds no manifest.json"):
        trie.load(tmp_path)


def test_the_examples_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/notebook.md, as it stands there, on two runs and a sweep."""
    monkeypatch.chdir(tmp_path)
    for name, server in {"outputs/a": None, "outputs/b": Server(step_s=0.02), "multirun/s/w-c8-1": None}.items():
        written(tmp_path / name, server, wall_s=40.0)
    (tmp_path / "multirun" / "s" / "multirun.yaml").touch()
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "notebook.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert "per_request.tpot_s.p50" in set(names["worse"].metric)  # 20 ms a step instead of 10
    assert isinstance(names["sweep"], LoadedSweep)
    assert len(names["sweep"].rows) == len(names["run"].rows)
    assert "TPOT" in names["comparison"]._repr_html_()
