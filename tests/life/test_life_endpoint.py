"""The embedded endpoint: when it dies the run ends with it, and it listens on loopback alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from helpers.bounds import AtMost
from helpers.run_process import run

LISTENING = "0A"


def listening(process: int) -> list[tuple[str, str]]:
    """The addresses that a process listens on."""
    sockets = {str(fd.readlink()) for fd in Path(f"/proc/{process}/fd").iterdir()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTENING and f"socket:[{inode}]" in sockets:
                found.append((table, local.partition(":")[0]))
    return found


def test_it_listens_on_loopback_alone_and_its_death_ends_the_run_within_a_second(
    tmp_path: Path, at_most: AtMost
) -> None:
    with run(tmp_path, "profile=fast", "duration=60") as bereft:
        bereft.under_way()
        (endpoint,) = bereft.children()
        assert listening(endpoint) == [("tcp", "0100007F")]  # 127.0.0.1 in the kernel's byte order
        os.kill(endpoint, signal.SIGKILL)
        code, said = bereft.ended(10)
    assert code == 1
    assert said.startswith("trie: the embedded endpoint died (killed by signal 9); ")
    assert len(said.splitlines()) == 1
    end = bereft.rows().manifest()["end"]
    assert (end["reason"], end["detail"]) == ("endpoint_died", "killed by signal 9")
    rows = bereft.rows().records().to_pandas()
    last_token_s = rows.last_token_s.max()
    assert end["wall_time_s"] - last_token_s < at_most(1.0)
    assert set(rows.outcome) <= {"ok", "cancelled", "failed"}
    assert not bereft.rows().summary()["valid"]
