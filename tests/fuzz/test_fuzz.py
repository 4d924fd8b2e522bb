"""The fuzz target, bounded: a crash fails the test, and its input is in the test's folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TARGET = Path(__file__).parent / "fuzz_answers.py"
FAULT_TABLE = TARGET.parents[1] / "faults"
SECONDS = 60
MEMORY_KB = 3 << 20  # of addresses, of which the interpreter and its libraries take the half
WORDS = ["data: ", "data:", "\\x0a\\x0a", "\\x0d\\x0a", "[DONE]", '{\\"choices\\":[', '\\"text\\":', '\\"delta\\":{',
         '\\"finish_reason\\":', '\\"usage\\":{', '\\"prompt_tokens\\":', '\\"completion_tokens\\":',
         '\\"prompt_tokens_details\\":', '\\"cached_tokens\\":', '\\"error\\":', '\\"message\\":', "null", "1e999",
         "event: error\\x0a", "error: ", '\\"total_tokens\\":', '\\"reasoning_tokens\\":', '\\"tool_calls\\":[{',
         "\\\\ud83d", "NaN"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="pip install -e '.[fuzz]'")
def test_a_minute_of_fuzzing_finds_no_crash(tmp_path: Path) -> None:
    """Starts from what the fault table's servers say; each input may take 5 s, and some 1 GB."""
    sys.path.insert(0, str(FAULT_TABLE))
    from fault_table import FAULTS

    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, fault in enumerate(FAULTS):
        said = b"".join(step for step in fault.script if isinstance(step, bytes))[: 1 << 16]
        for mode in (b"\0", b"\xff"):
            (corpus / f"{number}-{mode.hex()}").write_bytes(mode + said.partition(b"\r\n\r\n")[2])
    (tmp_path / "words").write_text("".join(f'"{word}"\n' for word in WORDS))
    # Bounded by the shell: the fuzzer would count as its own memory the peak of the process that started it.
    limits = [f"-max_total_time={SECONDS}", "-timeout=5", "-rss_limit_mb=0", "-malloc_limit_mb=1024", "-dict=words"]
    target = [sys.executable, str(TARGET), str(corpus), *limits, "-print_final_stats=1"]
    command = ["sh", "-c", f'ulimit -v {MEMORY_KB}; exec "$0" "$@"', *target]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS + 120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    executed = int(done.stderr.partition("stat::number_of_executed_units:")[2].split()[0])
    assert executed > 1000
