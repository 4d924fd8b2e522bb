"""The row writer: rows reach the disk twice a second and at the end, each once, and none is lost for a full disk."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.rows import planned_row
from helpers.small_disk import small_disk

from trie.errors import RunDirError
from trie.storage import row_writer
from trie.storage.parquet_parts import PartsWriter, parts, read_records
from trie.storage.record import RequestRecord
from trie.storage.row_writer import FLUSH_EVERY_S, RowWriter


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush each 10 ms."""
    monkeypatch.setattr(row_writer, "FLUSH_EVERY_S", 0.01)


def sessions(folder: Path) -> list[int]:
    numbers: list[int] = read_records(folder).column("session_id").to_pylist()
    return numbers


async def until(is_time: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_time():  # noqa: ASYNC110 - files have no event
            await asyncio.sleep(0.002)


async def stopped(flushing: asyncio.Task[None]) -> None:
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing


class HeldUp(PartsWriter):
    """A disk that begins a write and finishes it when it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.began, self.go_on = threading.Event(), threading.Event()

    def write(self, records: list[RequestRecord]) -> None:
        if records:
            self.began.set()
            assert self.go_on.wait(10)
        super().write(records)


def test_a_killed_run_loses_less_than_a_second() -> None:
    assert FLUSH_EVERY_S <= 0.5


@pytest.mark.usefixtures("often")
async def test_rows_reach_the_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    rows = RowWriter(PartsWriter(tmp_path / "r"))
    flushing = asyncio.create_task(rows.flush_regularly())
    for session in range(3):
        rows.add(planned_row(session))
        await until(lambda at=session: len(parts(tmp_path / "r")) == at + 1)
        assert sessions(tmp_path / "r") == list(range(session + 1))
    await stopped(flushing)
    await rows.close()
    assert sessions(tmp_path / "r") == [0, 1, 2]


@pytest.mark.usefixtures("often")
async def test_a_flush_without_rows_writes_nothing(tmp_path: Path) -> None:
    rows = RowWriter(PartsWriter(tmp_path / "r"))
    flushing = asyncio.create_task(rows.flush_regularly())
    await asyncio.sleep(0.1)
    await stopped(flushing)
    await rows.close()
    assert list((tmp_path / "r").iterdir()) == []


async def test_close_writes_the_last_rows_and_leaves_one_part(tmp_path: Path, often: None) -> None:
    rows = RowWriter(PartsWriter(tmp_path / "r"))
    flushing = asyncio.create_task(rows.flush_regularly())
    rows.add(planned_row(0))
    await until(lambda: len(parts(tmp_path / "r")) == 1)
    await stopped(flushing)
    rows.add(planned_row(1))
    await rows.close()
    assert sessions(tmp_path / "r") == [0, 1]
    assert [part.name for part in (tmp_path / "r").iterdir()] == ["part-000000-000001.parquet"]


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("cancellations", [1, 3])
async def test_a_cancellation_in_mid_write_doubles_and_loses_no_row(tmp_path: Path, cancellations: int) -> None:
    """The end of a run cancels the flush while the thread writes, a second signal again: `close` comes after it."""
    disk = HeldUp(tmp_path / "r")
    rows = RowWriter(disk)
    rows.add(planned_row(0))
    flushing = asyncio.create_task(rows.flush_regularly())
    await asyncio.to_thread(disk.began.wait, 10)
    rows.add(planned_row(1))  # ends while the part is written
    for _ in range(cancellations):
        flushing.cancel()
        await asyncio.sleep(0)
    closing = asyncio.create_task(rows.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    disk.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    await closing
    assert sessions(tmp_path / "r") == [0, 1]


@pytest.mark.usefixtures("often")
async def test_rows_stay_in_memory_until_they_can_be_written(tmp_path: Path) -> None:
    """The folder is away when the flush comes, and there again at the end."""
    folder = tmp_path / "r"
    rows = RowWriter(PartsWriter(folder))
    shutil.rmtree(folder)
    rows.add(planned_row(0))
    with pytest.raises(RunDirError, match="can't write rows: No such file or directory; those before are kept"):
        await rows.flush_regularly()
    folder.mkdir()
    rows.add(planned_row(1))
    await rows.close()
    assert sessions(folder) == [0, 1]


@pytest.mark.usefixtures("often")
async def test_a_full_disk_keeps_the_rows_before(tmp_path: Path) -> None:
    """64 kB: the flush of 20,000 rows with texts of their own does not fit; once there is room, `close` writes them."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        folder = disk / "r"
        rows = RowWriter(PartsWriter(folder))
        rows.add(planned_row(0))
        flushing = asyncio.create_task(rows.flush_regularly())
        await until(lambda: len(parts(folder)) == 1)
        (disk / "others").write_bytes(b"x" * 40_960)
        for session in range(1, 20_000):
            rows.add(planned_row(session, error=f"{hash((session, 1)):x}"))
        with pytest.raises(RunDirError, match="No space left on device; those before are kept"):
            await flushing
        with pytest.raises(RunDirError, match="No space left on device"):
            await rows.close()
        assert sessions(folder) == [0]
        assert not list(folder.glob("*.tmp"))
