"""A run in other tools' formats: their keys, their definitions, and nothing that was not measured."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from helpers.exported_run import (
    AIPERF_METADATA,
    AIPERF_METRICS,
    NOT_REACHED,
    ROWS,
    VLLM_DETAILED,
    VLLM_MORE,
    VLLM_SUMMARY,
    exported_run,
    request,
)

from trie.cli import main
from trie.export import aiperf, vllm
from trie.export import csv as csv_export
from trie.metrics.definitions import STATISTICS
from trie.storage.record import Outcome
from trie.storage.run_dir import RunDir


def test_vllms_keys_are_all_there_and_no_others() -> None:
    found = vllm.export(exported_run())
    assert set(found) == {*VLLM_SUMMARY, *VLLM_MORE}
    detailed = vllm.export(exported_run(), detailed=True)
    assert set(detailed) == {*VLLM_SUMMARY, *VLLM_MORE, *VLLM_DETAILED}
    json.dumps(detailed, allow_nan=False)


def test_vllms_numbers_by_hand() -> None:
    """Two of three finished requests ended well; the cancelled one is in no number."""
    found = vllm.export(exported_run())
    expected = {
        "num_prompts": 3,
        "completed": 2,
        "failed": 1,
        "duration": 10.0,
        "total_input_tokens": 40,
        "total_output_tokens": 10,
        "request_throughput": 0.2,
        "output_throughput": 1.0,
        "total_token_throughput": 5.0,
        "max_concurrent_requests": 2,
        "mean_ttft_ms": 150.0,
        "median_ttft_ms": 150.0,
        "std_ttft_ms": 50.0,  # of the population
        "p99_ttft_ms": 199.0,
        "mean_tpot_ms": 100.0,
        "std_tpot_ms": 0.0,
        "mean_e2el_ms": 550.0,
        "p90_e2el_ms": 590.0,
        "max_concurrency": 8,
        "request_rate": "inf",
        "backend": "openai",
        "model_id": "m",
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert found["latencies"] == pytest.approx([0.5, 0.6])
    assert found["queue_times"] == pytest.approx([0.01, 0.01])


def test_vllm_what_was_not_measured_is_null() -> None:
    found = vllm.export(exported_run(stream=False), detailed=True)
    nulls = {key for key, value in found.items() if value is None}
    statistics = {key for key in found if key.endswith(("_ttft_ms", "_tpot_ms", "_itl_ms"))}
    assert nulls == {
        *statistics, "request_goodput", "max_output_tokens_per_s", "rtfx", "burstiness", "itls", "generated_texts",
    }  # fmt: skip
    assert found["ttfts"] == [None, None]
    nothing = vllm.export(exported_run([]))
    assert nothing["completed"] == 0
    assert nothing["mean_e2el_ms"] is None
    assert nothing["max_concurrent_requests"] is None


def test_a_second_that_two_requests_share_counts_both() -> None:
    """0.0-0.9 and 1.1-1.9 share no second; 0.0-1.2 and 1.9-2.5 share the second second."""
    apart = [request(0, 0.0, end_s=0.9), request(1, 1.1, end_s=1.9)]
    together = [request(0, 0.0, end_s=1.2), request(1, 1.9, end_s=2.5)]
    most = [vllm.export(exported_run(rows, wall_time_s=3.0)) for rows in (apart, together)]
    assert [found["max_concurrent_requests"] for found in most] == [1, 2]


def test_aiperfs_lines_by_hand() -> None:
    """A request's metrics follow from one another as AIPerf's do."""
    first = next(aiperf.export(exported_run()))
    assert set(first) == {"metadata", "metrics"}
    assert set(first["metadata"]) == AIPERF_METADATA
    assert {key: found["unit"] for key, found in first["metrics"].items()} == AIPERF_METRICS
    values = {key: found["value"] for key, found in first["metrics"].items()}
    assert values == pytest.approx(
        {
            "request_latency": 500.0,
            "input_sequence_length": 10,
            "output_sequence_length": 5,
            "output_token_count": 5,
            "usage_prompt_tokens": 10,
            "usage_completion_tokens": 5,
            "usage_total_tokens": 15,
            "usage_prompt_cache_read_tokens": 4,
            "osl_mismatch_diff_pct": 0.0,
            "e2e_output_token_throughput": 10.0,
            "time_to_first_token": 100.0,
            "decode_duration": 400.0,
            "inter_token_latency": 100.0,
            "output_token_throughput_per_user": 10.0,
            "prefill_throughput_per_user": 100.0,
        }
    )
    metadata = first["metadata"]
    assert metadata["x_request_id"] == "abc-0-0"  # the header that was sent
    assert metadata["request_start_ns"] == 1_700_000_001_000_000_000
    assert metadata["request_ack_ns"] - metadata["request_start_ns"] == 50_000_000
    assert metadata["credit_issued_ns"] - metadata["request_start_ns"] == -10_000_000


def test_aiperf_a_request_that_did_not_end_well_has_an_error_and_no_metrics() -> None:
    failed, cancelled = list(aiperf.export(exported_run()))[2:]
    assert failed["metrics"] == cancelled["metrics"] == {}
    assert failed["error"] == {"code": 500, "type": "http_status", "message": "boom"}
    assert failed["metadata"]["was_cancelled"] is False
    assert cancelled["metadata"]["was_cancelled"] is True
    assert cancelled["metadata"]["cancellation_time_ns"] == 1_700_000_010_000_000_000
    assert cancelled["error"]["type"] == "deadline"


def test_aiperf_what_was_not_measured_is_absent() -> None:
    unreported = {"usage_prompt_tokens": None, "usage_completion_tokens": None, "usage_cached_tokens": None}
    (line,) = aiperf.export(exported_run([request(0, 1.0, **unreported)], stream=False))
    assert set(line["metrics"]) == {
        "request_latency",
        "input_sequence_length",
        "output_sequence_length",
        "output_token_count",
        "osl_mismatch_diff_pct",
        "e2e_output_token_throughput",
    }
    (one,) = aiperf.export(exported_run([request(0, 1.0, chunks=1)]))
    assert "inter_token_latency" not in one["metrics"]  # all in one chunk: nothing was seen between tokens
    never = request(0, 1.0, outcome=Outcome.cancelled, sent_s=None, end_s=None, **NOT_REACHED)
    (unsent,) = aiperf.export(exported_run([never]))
    assert unsent["metadata"]["request_start_ns"] == unsent["metadata"]["request_end_ns"]


def test_csv_has_a_line_for_each_request_and_empty_cells() -> None:
    out = io.StringIO()
    csv_export.write_requests(exported_run(list(reversed(ROWS))), out)
    found = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [line["session_id"] for line in found] == ["0", "1", "2", "3"]
    assert (found[0]["ttft_s"], found[0]["latency_s"], found[0]["tpot_s"]) == ("0.1", "0.5", "0.1")
    assert (found[2]["ttft_s"], found[2]["error"], found[2]["headers_s"]) == ("", "boom", "")


def written(path: Path) -> Path:
    run, writer = RunDir.create(path)
    writer.write(ROWS)
    run.write_manifest(exported_run().manifest)
    return path


def test_the_command_writes_each_format_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(written(tmp_path / "run"))
    assert main.run(["export", run, "--format", "vllm"]) == 0
    assert json.loads(capsys.readouterr().out)["completed"] == 2
    assert main.run(["export", run, "--format", "aiperf", "-o", str(tmp_path / "p.jsonl")]) == 0
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 4
    assert main.run(["export", run, "--format", "csv", "--summary"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    keys = {line["key"] for line in lines}
    assert {f"per_trace.latency_s.{statistic.key}" for statistic in STATISTICS} <= keys
    ttft = next(line for line in lines if line["key"] == "per_trace.ttft_s.mean")
    assert (ttft["unit"], ttft["better"], float(ttft["value"])) == ("s", "lower", pytest.approx(0.15))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl", "run"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--format", "csv", "--detailed"], "--detailed: goes with --format vllm, found --format csv"),
        (["--format", "vllm", "--summary"], "--summary: goes with --format csv, found --format vllm"),
        (["--format", "csv", "-o", "/dev/null/x"], "/dev/null/x: can't be written: Not a directory"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["export", str(written(tmp_path / "run")), *more]) == 1
    assert capsys.readouterr().err == f"trie: {said}\n"


def test_a_sweep_is_not_exported_as_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "w-c8-11111111")
    (tmp_path / "multirun.yaml").write_text("")
    assert main.run(["export", str(tmp_path), "--format", "csv"]) == 1
    assert "is a sweep; give the directory of one of its runs" in capsys.readouterr().err
