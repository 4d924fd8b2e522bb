"""What the other tools' own code accepts and writes, where they are installed: pip install --no-deps aiperf vllm."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

import pytest
from helpers.exported_run import VLLM_DETAILED, VLLM_MORE, VLLM_SUMMARY, exported_run

from trie.export import aiperf

NEVER_BY_DEFAULT = {
    "probe_completed", "rps_change_events", "ramp_up_strategy", "ramp_up_start_rps", "ramp_up_end_rps",
    "server_queue_times", "server_ttfts",
}  # fmt: skip


def test_aiperfs_own_record_model_takes_every_line() -> None:
    models = pytest.importorskip("aiperf.common.models.record_models", reason="AIPerf is not installed")
    lines = [json.dumps(line) for line in aiperf.export(exported_run())]
    records = [models.MetricRecordInfo.model_validate_json(line) for line in lines]
    assert [record.metadata.was_cancelled for record in records] == [False, False, False, True]
    for line, record in zip(lines, records, strict=True):
        assert set(json.loads(line)["metadata"]) <= set(type(record.metadata).model_fields)
    assert records[0].metrics["time_to_first_token"].value == pytest.approx(100.0)


def test_aiperf_knows_every_metric_that_is_written_by_its_tag() -> None:
    package = importlib.util.find_spec("aiperf")
    if package is None or package.origin is None:
        pytest.skip("AIPerf is not installed")
    sources = (Path(package.origin).parent / "metrics" / "types").glob("*.py")
    tags = {
        node.value.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "tag"
        and isinstance(node.value, ast.Constant)
    }
    first = next(aiperf.export(exported_run()))
    assert set(first["metrics"]) <= tags


def test_vllms_own_source_writes_the_keys_that_are_listed_here() -> None:
    package = importlib.util.find_spec("vllm")
    if package is None or package.origin is None:
        pytest.skip("vLLM is not installed")
    tree = ast.parse((Path(package.origin).parent / "benchmarks" / "serve.py").read_text())
    written = {
        target.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript)
        and ast.unparse(target.value) == "result_json"
        and isinstance(target.slice, ast.Constant)
    }
    results = [
        {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "result"
        and isinstance(node.value, ast.Dict)
    ]
    generation = next(keys for keys in results if "total_output_tokens" in keys)
    of_statistics = {key for key in VLLM_SUMMARY if key.endswith("_ms")}
    assert (written | generation) - NEVER_BY_DEFAULT == (set(VLLM_SUMMARY) - of_statistics) | VLLM_DETAILED
    assert not VLLM_MORE & (written | generation)
