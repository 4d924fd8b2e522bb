"""A run has one set of numbers, whichever way they are read: live, reported, compared, exported, in a sweep's table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.rows import row
from helpers.run_directories import written_run

from trie import Client
from trie.cli import main
from trie.run import Result
from trie.storage.run_dir import RunDir
from trie.storage.sweep_dir import find
from trie.sweep.table import rows as sweep_rows
from trie.workload.trace import Trace

KEYS = ("per_trace.ttft_s.p50", "per_request.tpot_s.mean", "workload.completion_tok_s.overall", "wall_time_s")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run against the embedded endpoint, as the only cell of a sweep's directory."""
    directory = tmp_path_factory.mktemp("sweep") / "cell"
    traces = [Trace(64, (8,), (32,), (0.01,), 8)] * 4
    return Client(seed=1).sync_run(
        traces, concurrency=2, duration=1.0, directory=directory, progress="none", show=False
    )


def at(content: object, key: str) -> float:
    for name in key.split("."):
        assert isinstance(content, dict)
        content = content[name]
    assert isinstance(content, float)
    return content


@pytest.fixture
def live(result: Result) -> dict[str, float]:
    content = json.loads(json.dumps(result.summary.to_json()))
    return {key: at(content, key) for key in KEYS}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main.run(list(arguments)) == 0
    return capsys.readouterr().out


def test_summary_json_and_trie_report(
    result: Result, live: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    written = RunDir.open(result.directory).summary()
    assert written == json.loads(json.dumps(result.summary.to_json()))
    reported = json.loads(printed(capsys, "report", str(result.directory), "--json", "--no-html"))
    assert reported == written
    assert {key: at(reported, key) for key in KEYS} == live


def test_compare(result: Result, live: dict[str, float], capsys: pytest.CaptureFixture[str]) -> None:
    path = str(result.directory)
    (cell,) = json.loads(printed(capsys, "compare", path, path, "--json"))["cells"]
    metrics = cell["pairs"][0]["metrics"]
    for side in ("baseline", "candidate"):
        assert {key: metrics[key][side] for key in KEYS} == live


def test_exports(result: Result, live: dict[str, float], capsys: pytest.CaptureFixture[str]) -> None:
    path = str(result.directory)
    lines = csv.DictReader(printed(capsys, "export", path, "--format", "csv", "--summary").splitlines())
    assert live.items() <= {line["key"]: float(line["value"] or "nan") for line in lines}.items()
    vllm = json.loads(printed(capsys, "export", path, "--format", "vllm"))
    assert vllm["duration"] == live["wall_time_s"]
    assert vllm["completed"] == result.summary.requests["ok"]
    assert vllm["mean_tpot_ms"] == pytest.approx(1e3 * live["per_request.tpot_s.mean"])
    each = list(csv.DictReader(printed(capsys, "export", path, "--format", "csv").splitlines()))
    assert len(each) == sum(result.summary.requests.values()) == len(result.rows)


def test_a_sweeps_table(result: Result, live: dict[str, float]) -> None:
    (line,) = sweep_rows(find(result.directory.parent))
    assert line["ttft_s_p50"] == live["per_trace.ttft_s.p50"]
    assert line["request_tpot_s_mean"] == live["per_request.tpot_s.mean"]
    assert line["completion_tok_s_overall"] == live["workload.completion_tok_s.overall"]
    assert (line["requests_ok"], line["valid"]) == (result.summary.requests["ok"], result.summary.valid)


def test_rows(result: Result) -> None:
    """TTFT of the traces that completed, by hand out of the rows."""
    rows = result.rows
    done = set(rows[rows.is_final & (rows.outcome == "ok")].session_id)
    first = rows[(rows.turn == 0) & rows.session_id.isin(done)]
    ttft = result.summary.per_trace["ttft_s"]
    assert ttft is not None
    assert (first.first_token_s - first.sent_s).median() == pytest.approx(ttft.p50)
    assert rows.suspect.mean() == pytest.approx(result.summary.client.suspect_share)


def test_a_run_without_rows_is_compared_by_its_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (written_run(tmp_path / name, [row(0), row(1)]).path for name in "ab")
    for part in (b / "requests").iterdir():
        part.unlink()
    (b / "requests").rmdir()
    (cell,) = json.loads(printed(capsys, "compare", str(a), str(b), "--json"))["cells"]
    metrics = cell["pairs"][0]["metrics"]
    assert metrics["per_trace.ttft_s.p50"]["baseline"] == metrics["per_trace.ttft_s.p50"]["candidate"]
