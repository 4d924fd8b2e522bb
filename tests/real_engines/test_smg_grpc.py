"""TokenSpeed's production form: smg tokenises, and speaks gRPC to the engine behind it, here a vLLM."""

from __future__ import annotations

from typing import Any

import pytest
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from replaying import Replay
from workloads import agentic

pytestmark = pytest.mark.engine
TRACES = 8


@pytest.fixture(scope="module")
def folder() -> str:
    return str(model.folder(TinyModel()))


@pytest.fixture
def gateway(start_vllm: Any, start_smg: Any, folder: str) -> Server:
    engine = start_vllm(grpc=True)
    flags = ("--model-path", folder, "--tokenizer-path", folder)
    server: Server = start_smg([f"grpc://127.0.0.1:{engine.port}"], *flags)
    return server


def test_agentic_traces_through_a_gateway_that_tokenises(gateway: Server, replay: Replay, folder: str) -> None:
    """Whole blocks of each prefix are cached; of n + 1 chunks the last, with finish_reason, bears no token."""
    done = replay.completed(
        gateway,
        "endpoint=tokenspeed",
        agentic(replay.folder / "agentic.jsonl", TRACES, latency=0.002, tokens=1 / 8),
        "concurrency=4",
        f"max_traces={TRACES}",
        f"tokenizer_model={folder}",
        "endpoint.prompt_form=token_ids",
    )
    rows, summary = done.rows, done.summary
    assert summary["traces"] == {"completed": TRACES, "failed": 0, "cancelled": 0}
    assert (rows.usage_completion_tokens == rows.requested_completion_tokens).all()
    assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()
    assert (rows.chunks <= rows.usage_completion_tokens).all()
    ordered = rows.sort_values(["session_id", "turn"])
    turns = ordered.groupby("session_id")
    prefix = (turns.usage_prompt_tokens.shift() + turns.usage_completion_tokens.shift())[ordered.turn > 0]
    assert (prefix - rows.usage_cached_tokens.reindex(prefix.index)).between(1, 32).all()
    assert (rows[rows.turn == 0].usage_cached_tokens == 0).all()
    assert "text is sent: the server takes no token ids (HTTP 400" in done.printed
    assert rows.worker.str.startswith("grpc://127.0.0.1:").all()
    assert done.manifest["server"]["in_flight_before"] == 0
