"""Rows on disk: round trip, completeness of every part, merging, and what a reader refuses."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.rows import planned_row

from trie.errors import RunDirError
from trie.storage import parquet_parts
from trie.storage.parquet_parts import MERGE_AT, PartsWriter, parts, read_records, to_table
from trie.storage.record import Outcome


def test_rows_survive_the_disk(tmp_path: Path) -> None:
    rows = [
        planned_row(0, 0, 1, sent_s=0.25, error="x"),
        planned_row(0, 1, 1, outcome=Outcome.failed, usage_cached_tokens=0),
    ]
    PartsWriter(tmp_path / "requests").write(rows)
    assert read_records(tmp_path / "requests").to_pylist() == [asdict(found) for found in rows]


def test_null_and_zero_stay_apart(tmp_path: Path) -> None:
    PartsWriter(tmp_path / "r").write([planned_row(0, 0, 0, usage_cached_tokens=0), planned_row(1, 0, 0)])
    assert read_records(tmp_path / "r").column("usage_cached_tokens").to_pylist() == [0, None]


def test_columns_that_were_added_later_are_filled_in(tmp_path: Path) -> None:
    PartsWriter(tmp_path / "r").write([planned_row(0, 0, 0, worker="a", rate_limited=3)])
    (part,) = parts(tmp_path / "r")
    pq.write_table(pq.read_table(part).drop_columns(["worker", "rate_limited", "warm_up"]), part)
    (found,) = read_records(tmp_path / "r").to_pylist()
    assert (found["worker"], found["rate_limited"], found["session_id"]) == (None, 0, 0)


def test_parts_merge_as_they_grow_and_keep_order(tmp_path: Path) -> None:
    writer = PartsWriter(tmp_path / "r")
    for session in range(2 * MERGE_AT + 3):
        writer.write([planned_row(session, 0, 0)])
    assert len(parts(tmp_path / "r")) == 2 + 3
    assert read_records(tmp_path / "r").column("session_id").to_pylist() == list(range(2 * MERGE_AT + 3))
    writer.close()
    assert len(list((tmp_path / "r").iterdir())) == 1
    assert read_records(tmp_path / "r").column("session_id").to_pylist() == list(range(2 * MERGE_AT + 3))


def test_a_kill_between_merge_and_clean_up_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    writer = PartsWriter(folder)
    writer.write([planned_row(0, 0, 0)])
    writer.write([planned_row(1, 0, 0)])
    first = (folder / "part-000000.parquet").read_bytes()
    writer.close()
    (folder / "part-000000.parquet").write_bytes(first)
    assert read_records(folder).column("session_id").to_pylist() == [0, 1]


def test_a_half_written_part_is_not_taken_for_one(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    PartsWriter(folder).write([planned_row(0, 0, 0)])
    (folder / "part-000001.tmp").write_bytes(b"PAR1 half")
    assert read_records(folder).num_rows == 1


def test_no_rows_are_an_empty_table(tmp_path: Path) -> None:
    writer = PartsWriter(tmp_path / "r")
    writer.write([])
    writer.close()
    assert read_records(tmp_path / "r").num_rows == 0


def test_a_second_run_in_a_folder_is_refused(tmp_path: Path) -> None:
    PartsWriter(tmp_path / "r")
    with pytest.raises(RunDirError, match="another run"):
        PartsWriter(tmp_path / "r")


def test_what_is_no_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="no such folder"):
        read_records(tmp_path / "none")
    (tmp_path / "part-000000.parquet").write_bytes(b"no parquet")
    with pytest.raises(RunDirError, match=r"part-000000.parquet: not a readable Parquet file"):
        read_records(tmp_path)


def test_rows_of_another_version_are_refused(tmp_path: Path) -> None:
    table = to_table([planned_row(0, 0, 0)]).replace_schema_metadata({b"trie.records.version": b"99"})
    pq.write_table(table, tmp_path / "part-000000.parquet")
    with pytest.raises(RunDirError, match="schema version 99"):
        read_records(tmp_path)
    assert isinstance(table, pa.Table)


def test_parts_are_merged_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run of very many rows ends within little memory: each table that was joined is a row group."""
    monkeypatch.setattr(parquet_parts, "JOINED_ROWS", 4)
    writer = PartsWriter(tmp_path / "r")
    for number in range(5):
        writer.write([planned_row(number, 0, 0), planned_row(number, 1, 0)])
    writer.close()
    (part,) = parts(tmp_path / "r")
    metadata = pq.read_metadata(part)
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [4, 4, 2]
    assert read_records(tmp_path / "r").column("session_id").to_pylist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
