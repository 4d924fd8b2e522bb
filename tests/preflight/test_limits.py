"""What is found out before the clock starts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.simulator import QUICK, Serve

from trie.child_process import child
from trie.config import ConcurrencyConfig, EndpointConfig, ProgressStyle, RunConfig, SimConfig, WorkloadConfig
from trie.errors import ConfigError, TrieError, WorkloadError
from trie.preflight.limits import OTHER_FILES, allow_open_files, fitting
from trie.preflight.prompt_lengths import Template
from trie.run import execute_async
from trie.workload.trace import Trace, Workload

# Contexts of 12, 40, 30 and 100 tokens.
TRACES = [
    Trace(10, (), (), (), 2, row=0),
    Trace(20, (4,), (6,), (0.0,), 10, row=1),
    Trace(20, (), (), (), 10, row=2),
    Trace(60, (10,), (20,), (0.0,), 10, row=3),
]
WORKLOAD = Workload("w", TRACES, "a test", "0" * 64)


def test_a_workload_that_fits_is_left_as_it_is() -> None:
    assert fitting(WORKLOAD, 100, skip=False) is WORKLOAD
    assert fitting(WORKLOAD, None, skip=False) is WORKLOAD


def test_traces_that_cannot_fit_are_counted_and_named_with_what_to_do() -> None:
    with pytest.raises(WorkloadError) as caught:
        fitting(WORKLOAD, 39, skip=False)
    assert str(caught.value) == (
        "w: 2 of 4 traces need more than the 39 tokens of the model's context (up to 100; rows from 0: 1, 3): "
        "serve it with a longer one, or leave them out with workload.skip_too_long=true"
    )


def test_skipped_traces_are_counted_and_the_rest_keep_their_rows() -> None:
    left = fitting(WORKLOAD, 39, skip=True)
    assert [trace.row for trace in left.traces] == [0, 2]
    assert left.skipped == 2


def test_what_a_chat_template_adds_must_fit_too() -> None:
    """With 5 tokens at first and 3 a turn they need 17, 48, 35 and 108."""
    assert fitting(WORKLOAD, 108, skip=False, template=Template(5, 3)) is WORKLOAD
    left = fitting(WORKLOAD, 47, skip=True, template=Template(5, 3))
    assert [trace.row for trace in left.traces] == [0, 2]
    with pytest.raises(WorkloadError, match=r"1 of 4 traces need more than the 107 tokens .* \(up to 108; "):
        fitting(WORKLOAD, 107, skip=False, template=Template(5, 3))


def test_a_workload_of_which_nothing_fits_is_refused_even_so() -> None:
    with pytest.raises(WorkloadError, match="4 of 4 traces need more than the 11 tokens"):
        fitting(WORKLOAD, 11, skip=True)


def config(url: str, **workload: bool) -> RunConfig:
    return RunConfig(
        workload=WorkloadConfig(path="w.jsonl", **workload),  # type: ignore[arg-type]
        endpoint=EndpointConfig(base_url=url),
        concurrency=ConcurrencyConfig(2),
        tokenizer_model="words",
        duration=0.5,
        progress=ProgressStyle.none,
    )


async def test_a_context_that_is_too_short_is_found_before_the_start(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK, max_model_len=39)) as url:
        with pytest.raises(WorkloadError, match="2 of 4 traces need more than the 39 tokens"):
            await execute_async(config(url), tmp_path / "refused", workload=WORKLOAD)
        assert not (tmp_path / "refused").exists()
        result = await execute_async(config(url, skip_too_long=True), tmp_path / "run", workload=WORKLOAD)
    assert set(result.rows.trace_id) == {0, 2}
    assert result.summary.requests["failed"] == 0
    assert result.manifest["workload"]["skipped_too_long"] == 2
    found = {check.id: check.found for check in result.summary.verdict if not check.ok}
    assert found["whole_workload"] == "2 of 4 traces are too long for the model's context"


def test_too_few_open_files_are_said_before_anything_is_sent(tmp_path: Path) -> None:
    limit = 64 + OTHER_FILES - 1
    code = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
    command = [sys.executable, "-c", code + "from trie.cli.main import main; main()", "concurrency=64", "duration=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"trie: concurrency=64: needs {limit + 1} open files, {limit} are allowed here: raise"
    )
    assert f"ulimit -n {limit + 1}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_open_files_are_those_of_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    with pytest.raises(ConfigError, match=f"^concurrency=300: each of 2 workers needs {150 + OTHER_FILES} open files"):
        allow_open_files(300, 300, workers=2)
    with pytest.raises(ConfigError, match=f"^workers=40: needs {160 + OTHER_FILES} open files"):
        allow_open_files(300, 300, workers=40)


async def test_a_process_that_the_system_does_not_allow_is_one_line() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())), hard))
    try:
        with pytest.raises(TrieError, match=r"^a process of trie.sim.server can't be started: Too many open files: "):
            async with child("trie.sim.server"):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_soft_limit_is_raised_as_far_as_needed_and_no_file_stays_open(sim: Serve, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OTHER_FILES + 1, hard))
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        async with sim(SimConfig(**QUICK)) as url:
            await execute_async(config(url), tmp_path / "run", workload=WORKLOAD)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == OTHER_FILES + 2
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1  # the loop's own executor may keep one
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_rows_that_the_disk_has_no_room_to_merge_stay_as_they_are(tmp_path: Path) -> None:
    """A process may write files of 30 kB at most: each part fits, what they would be merged into does not."""
    code = (
        "import resource, sys, random; from pathlib import Path\n"
        "from trie.storage.record import Outcome, RequestRecord\n"
        "from trie.storage.parquet_parts import PartsWriter, read_records\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "def row(n): return RequestRecord(trace_id=n, session_id=n, slot=0, turn=0, num_turns=0, is_final=True,\n"
        "    outcome=Outcome.failed, error=random.Random(n).randbytes(150).hex())\n"
        "folder = Path(sys.argv[1]); writer = PartsWriter(folder)\n"
        "for n in range(130): writer.write([row(n)])\n"
        "writer.close()\n"
        "print(sorted(read_records(folder)['session_id'].to_pylist()) == list(range(130)),\n"
        "      len(list(folder.glob('*.tmp'))), len(list(folder.glob('*.parquet'))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "requests")], capture_output=True, text=True, check=True, timeout=60
    )
    whole, left, parts = done.stdout.split()
    assert (whole, left) == ("True", "0")
    assert int(parts) > 2
    assert json.loads(parts) < 130  # what fitted was merged
