"""A run in real time that ends by `stop_when`: a process of its own looks at the rows on disk."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.generated_runs import generated_run

from trie.replay import precision
from trie.replay.counters import Counters


class Clock:
    now_s = 7200.0


async def look_once(run: Path, expression: str, seconds: float = 20.0) -> tuple[list[str], Counters]:
    """What a run that has gone on for two hours is told within so many seconds."""
    reasons: list[str] = []
    state = SimpleNamespace(clock=Clock(), counters=Counters())
    async with precision.watched(run, state, expression, 7200.0, reasons.append):
        for _ in range(int(seconds * 20)):
            await asyncio.sleep(0.05)
            if reasons or state.counters.precision:
                break
    return reasons, state.counters


async def test_the_run_is_stopped_once_it_is_precise(tmp_path: Path) -> None:
    run = generated_run(tmp_path, 4000, slots=8)
    stopped, counters = await look_once(run, "steady_state.completion_tok_s within 9%")
    assert stopped == ["precise"]
    assert counters.precision.startswith("steady_state.completion_tok_s ")


@pytest.mark.slow
async def test_a_process_that_fails_ends_nothing_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = generated_run(tmp_path, 400, slots=8)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "config": 1}))
    reasons: list[str] = []
    state = SimpleNamespace(clock=Clock(), counters=Counters())
    async with precision.watched(run, state, "completion_tok_s within 2%", 7200.0, reasons.append):
        for _ in range(400):
            await asyncio.sleep(0.05)
            if caplog.messages:
                break
    assert reasons == []
    assert "stop_when is no longer looked at" in caplog.text
