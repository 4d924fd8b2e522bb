"""Importers: every format's traps on rows written by hand, and that nothing but lengths and times leaves a source."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers.import_examples import (
    BURSTGPT_SESSIONS,
    CLAUDE_CODE,
    CODEX,
    EXAMPLES,
    MESSAGES,
    MOONCAKE_WHOLE,
    Example,
    dynamo,
    lines,
    row,
)

from trie.config import WorkloadConfig
from trie.errors import WorkloadError
from trie.workload import jsonl
from trie.workload.importers.convert import AUTO, convert
from trie.workload.importers.fidelity import Fidelity
from trie.workload.importers.formats import FORMATS
from trie.workload.importers.session import DRAWN_RANGE, Options
from trie.workload.load import load
from trie.workload.row import parse_trace

Rows = list[dict[str, Any]]

# What is written by itself: names of fields and of formats, and the sentences of the report.
OWN_WORDS = [
    *{name for example in EXAMPLES.values() for found in example.rows for name in (*found, "trace")},
    *(importer.name for importer in FORMATS),
    *Fidelity("", "").to_json(),
    "told by documents with conversations[] that have from and value, rows with messages[], trajectory[] and response",
    "a chat template adds no tokens to the texts",
    "stated by the source, answers",
]


def words(texts: Any) -> list[int]:
    """A tokenizer whose tokens are words."""
    return [len(text.split()) for text in texts]


def written(folder: Path, files: dict[str, str]) -> Path:
    """The source: the file itself where there is one, else its folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder / next(iter(files)) if len(files) == 1 else folder


def imported(path: Path, format_name: str = AUTO, *, texts: bool = False, **options: Any) -> tuple[Rows, Fidelity]:
    out = io.BytesIO()
    fidelity = convert(path, out, format_name=format_name, options=Options(**options), tokens=words if texts else None)
    return [json.loads(line) for line in out.getvalue().splitlines()], fidelity


def of(example: Example, folder: Path, **options: Any) -> tuple[Rows, Fidelity]:
    return imported(written(folder, example.files), texts=example.texts, **{**example.options, **options})


def strings(value: Any) -> set[str]:
    """All strings in a JSON value, the names of fields apart."""
    if isinstance(value, str):
        return {value}
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(strings, members))


def without_drawn_waits(rows: Rows, expected: Rows) -> Rows:
    """The rows, with None for each wait that the expectation leaves open, which must be in its range."""
    for got, wanted in zip(rows, expected, strict=True):
        for at, wait in enumerate(wanted["tool_call_latency"]):
            if wait is None:
                assert DRAWN_RANGE[0] <= got["tool_call_latency"][at] <= DRAWN_RANGE[1]
                got["tool_call_latency"][at] = None
    return rows


@pytest.fixture(params=EXAMPLES.values(), ids=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    return request.param  # type: ignore[no-any-return]


def test_each_example_becomes_the_rows_worked_by_hand(example: Example, tmp_path: Path) -> None:
    rows, fidelity = of(example, tmp_path)
    assert without_drawn_waits(rows, example.rows) == example.rows
    assert (fidelity.format, fidelity.traces) == (example.format, len(example.rows))
    assert fidelity.turns == sum(found["num_turns"] + _child_turns(found) for found in example.rows)


def _child_turns(found: dict[str, Any]) -> int:
    children = [child["trace"] for child in found.get("subagents", ())]
    return sum(child["num_turns"] + _child_turns(child) for child in children)


def test_the_format_can_be_given_by_its_name(example: Example, tmp_path: Path) -> None:
    rows, fidelity = imported(written(tmp_path, example.files), example.format, texts=example.texts, **example.options)
    assert len(rows) == len(example.rows)
    assert fidelity.decided_by == "given"


def test_no_string_of_the_source_is_written(example: Example, tmp_path: Path) -> None:
    rows, fidelity = of(example, tmp_path)
    output = json.dumps(rows) + json.dumps(fidelity.to_json())
    texts = {text for name in example.files for text in Path(name).parts}
    for content in example.files.values():
        for line in content.splitlines():
            texts |= strings(_json(line)) if _json(line) is not None else set()
        texts |= strings(_json(content)) if _json(content) is not None else set()
    numbers = {text for text in texts if text.replace(".", "", 1).isdigit()}  # OTLP writes counts as texts
    assert strings(rows) == {example.format}, "the only text of a row says what it was imported from"
    for text in texts - numbers:
        if not any(text in own for own in OWN_WORDS):
            assert text not in output, f"{text!r} left the source"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_each_row_can_be_replayed(example: Example, tmp_path: Path) -> None:
    rows, _ = of(example, tmp_path)
    for index, found in enumerate(rows):
        assert jsonl.row(parse_trace(found, where="row", index=index)) == found, "nothing of it is lost on the way"


def test_rows_of_the_trace_format_come_back_the_same(example: Example, tmp_path: Path) -> None:
    rows, _ = of(example, tmp_path)
    again, fidelity = imported(written(tmp_path / "again", {"mine.jsonl": lines(*rows)}))
    assert again == rows
    assert fidelity.format == "trie"


def test_packed_files_are_read_whatever_their_names(example: Example, tmp_path: Path) -> None:
    plain, _ = of(example, tmp_path / "plain")
    for name, pack in (("gz", gzip.compress), ("zst", lambda data: pa.compress(data, codec="zstd", asbytes=True))):
        folder = tmp_path / name
        written(folder, example.files)
        for file in [path for path in folder.rglob("*") if path.is_file()]:
            data = file.read_bytes()
            half = data.find(b"\n") + 1
            file.write_bytes(pack(data[:half]) + pack(data[half:]))  # packed in two parts, as logs are that grow
        source = folder / next(iter(example.files)) if len(example.files) == 1 else folder
        packed, _ = imported(source, texts=example.texts, **example.options)
        assert packed == plain


def test_every_format_has_an_example() -> None:
    examples = {example.format for example in EXAMPLES.values()}
    assert {importer.name for importer in FORMATS} - {"trie"} == examples


@pytest.mark.parametrize("example", [MOONCAKE_WHOLE], ids=["mooncake"])
def test_what_an_input_length_counts_is_asked(example: Example, tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="say --input-length whole or --input-length new"):
        imported(written(tmp_path, example.files))


def test_texts_without_a_tokenizer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="holds texts and no token counts; --tokenizer NAME"):
        imported(written(tmp_path, MESSAGES.files))


def test_what_was_dropped_is_counted(tmp_path: Path) -> None:
    _, claude = of(CLAUDE_CODE, tmp_path / "claude")
    assert claude.dropped == {"synthetic answers and errors of the API": 2}
    _, codex = of(CODEX, tmp_path / "codex")
    assert codex.dropped == {"token counts without usage": 1, "repeated token counts": 1}
    _, burst = of(BURSTGPT_SESSIONS, tmp_path / "burst")
    assert burst.dropped["requests without an answer"] == 1


def test_a_torn_last_line_is_dropped_and_counted(example: Example, tmp_path: Path) -> None:
    if not next(iter(example.files)).endswith(".jsonl"):
        pytest.skip("no JSON lines")
    whole, _ = of(example, tmp_path)
    torn = {name: text + '{"type": "assist' for name, text in example.files.items()}
    rows, fidelity = imported(written(tmp_path / "torn", torn), texts=example.texts, **example.options)
    assert rows == whole
    assert fidelity.dropped["rows that are no JSON objects"] == len(torn)


def test_a_long_wait_is_cut_and_counted(tmp_path: Path) -> None:
    rows, fidelity = of(BURSTGPT_SESSIONS, tmp_path, cap_wait_s=10.0)
    assert rows[0]["tool_call_latency"] == [10.0]
    assert fidelity.waits_capped == 1


def test_dynamo_rows_with_and_without_agents_are_not_mixed(tmp_path: Path) -> None:
    rows = lines(dynamo(1, 2, 100, 5, agent_context={"session_id": "a"}), dynamo(3, 4, 100, 5))
    with pytest.raises(WorkloadError, match=r"trace.jsonl:2: rows with and without agent_context"):
        imported(written(tmp_path, {"trace.jsonl": rows}))


def test_drawn_waits_follow_the_seed(tmp_path: Path) -> None:
    first, again, other = (of(MESSAGES, tmp_path, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again != other


def test_a_request_that_overlaps_the_one_before_waits_for_nothing(tmp_path: Path) -> None:
    first = {"trace_id": "t", "prompt_tokens": 10, "completion_tokens": 5, "startTime": 0, "endTime": 9}
    second = {"trace_id": "t", "prompt_tokens": 20, "completion_tokens": 5, "startTime": 4, "endTime": 12}
    rows, fidelity = imported(written(tmp_path, {"logs.jsonl": lines(first, second)}))
    assert rows == [row(10, [5], [5], [0.0], 5, source="litellm", start_offset_s=0.0)]
    assert fidelity.assumed == {"a request that overlaps the one before it waits for nothing": 1}


def test_a_prompt_that_lost_a_part_of_the_answer_keeps_the_prompt(tmp_path: Path) -> None:
    first = {"trace_id": "t", "prompt_tokens": 1000, "completion_tokens": 500, "startTime": 0, "endTime": 9}
    second = {"trace_id": "t", "prompt_tokens": 1450, "completion_tokens": 5, "startTime": 10, "endTime": 12}
    (found,), _ = imported(written(tmp_path, {"logs.jsonl": lines(first, second)}))
    assert (found["tool_call_output_length"], found["context_reset"]) == ([450], [None, 1000])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"x.jsonl": '{"a": 1}\n'}, "of no format that is known"),
        ({"x.jsonl": "{broken\n"}, "document 1 is not JSON"),
        ({"x.jsonl": ""}, "of no format that is known"),
        ({"x.txt": "", "y.txt": ""}, "no file in this folder ends in"),
        (
            {"x.jsonl": lines({"timestamp": 0, "input_length": 5, "output_length": 0, "hash_ids": []})},
            "holds no trace that can be replayed; 1 rows read as mooncake, dropped: 1 requests without an answer",
        ),
    ],
)
def test_a_source_that_is_no_good_is_refused_in_one_line(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    with pytest.raises(WorkloadError) as caught:
        imported(written(tmp_path, files))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_format_is_named_with_the_command_that_imports_it(example: Example, tmp_path: Path) -> None:
    written(tmp_path, example.files)
    path = tmp_path / next(iter(example.files))
    title = next(importer.title for importer in FORMATS if importer.name == example.format)
    with pytest.raises(WorkloadError) as caught:
        load(WorkloadConfig(path=str(path)))
    assert str(caught.value).startswith(f"{path}: is {title} (")
    assert str(caught.value).endswith(f"; trie workload import {path} -o mine.jsonl makes traces of it")


def test_a_folder_of_another_format_is_named_too(tmp_path: Path) -> None:
    written(tmp_path, CODEX.files)
    with pytest.raises(WorkloadError, match=r"is Codex rollouts \(.*trie workload import .* makes traces of it"):
        load(WorkloadConfig(path=str(tmp_path)))


def test_a_mistake_in_a_row_of_the_trace_format_stays_what_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, {"mine.jsonl": lines({**row(1, [], [], [], 1), "input_prompt_length": 0})})
    with pytest.raises(WorkloadError, match=r"mine.jsonl:1: input_prompt_length: found 0, must be a whole number"):
        load(WorkloadConfig(path=str(path)))
