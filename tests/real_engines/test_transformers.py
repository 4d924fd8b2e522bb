"""`transformers serve` refuses what it does not know and tells little: one clear line, or a run in its own dialect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from engine_setup.server import Server
from replaying import Finished, Replay
from workloads import trace, write

pytestmark = pytest.mark.engine
DIALECT = "endpoint=transformers"
Serving = tuple[Server, Path]


def run(replay: Replay, serving: Serving, *settings: str, named: bool = True) -> Finished:
    """Two sessions of three turns, the model named by its folder."""
    server, folder = serving
    file = write(replay.folder / "short.jsonl", [trace(60, [6, 6], [10, 10], 6)])
    name = [f"model={folder}"] if named else []
    return replay.run(server, file, "concurrency=2", "max_traces=2", f"tokenizer_model={folder}", *name, *settings)


def refusal(done: Finished) -> str:
    """The one line with which a run was not begun."""
    assert done.code == 1
    assert "Traceback" not in done.said + done.printed
    assert not (done.directory / "requests").exists()
    (line,) = done.said.splitlines()
    return line


def test_it_is_found_by_a_route_and_spoken_to_in_its_dialect(transformers_serve: Serving, replay: Replay) -> None:
    """By its address alone: what it does not know is left out, and that is said."""
    done = run(replay, transformers_serve)
    assert done.code == 0, done.said
    assert done.summary["traces"] == {"completed": 2, "failed": 0, "cancelled": 0}
    assert done.manifest["server"]["dialect"]["found"] == "transformers"
    assert done.manifest["server"]["dialect"]["taken"]["ignore_eos"] is None
    assert "it has the route /load_model" in done.printed


def test_a_field_that_it_does_not_know_ends_the_run_before_it_begins(
    transformers_serve: Serving, replay: Replay
) -> None:
    line = refusal(run(replay, transformers_serve, "endpoint=vllm"))
    assert "HTTP 422" in line
    assert "Unexpected fields in the request: {'ignore_eos'}" in line
    assert "leave it out with endpoint.ignore_eos=null" in line


def test_without_the_check_of_lengths_every_request_is_refused_and_said_once(
    transformers_serve: Serving, replay: Replay
) -> None:
    done = run(replay, transformers_serve, "endpoint=vllm", "prompts.calibrate=false")
    assert done.code == 1
    assert set(done.rows.error_kind) == {"http_status"}
    assert set(done.rows.http_status) == {422}
    assert (done.rows.attempts == 1).all()
    assert done.rows.error.str.contains("ignore_eos").all()
    assert done.printed.count("request failed, http_status: HTTP 422") == 1


def test_leaving_the_field_out_is_enough(transformers_serve: Serving, replay: Replay) -> None:
    done = run(replay, transformers_serve, "endpoint=vllm", "endpoint.ignore_eos=null")
    assert done.code == 0, done.said
    assert done.summary["traces"] == {"completed": 2, "failed": 0, "cancelled": 0}


def test_a_model_that_it_does_not_list_has_to_be_named(transformers_serve: Serving, replay: Replay) -> None:
    server, _ = transformers_serve
    assert server.ask("GET", "/v1/models")[0] == 500  # offline
    assert "set model=NAME" in refusal(run(replay, transformers_serve, DIALECT, named=False))


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_stream_without_done_is_whole_and_the_cache_is_not_measured(
    stream: str, transformers_serve: Serving, replay: Replay
) -> None:
    """It ends with finish_reason and usage in one chunk; no cached tokens is no zero."""
    done = run(replay, transformers_serve, DIALECT, f"stream={stream}")
    assert done.code == 0, done.said
    rows, summary = done.rows, done.summary
    assert summary["traces"] == {"completed": 2, "failed": 0, "cancelled": 0}
    assert (rows.usage_completion_tokens == rows.requested_completion_tokens).all()
    assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()
    assert (rows.finish_reason == "length").all()
    if stream == "true":
        assert (rows.chunks == rows.usage_completion_tokens).all()
    assert rows.usage_cached_tokens.isna().all()
    assert summary["cache"]["hit_rate_pct"] is None
    assert summary["per_trace"]["cache_hit_rate_pct"] is None
    reported = done.check("cache_reported")
    assert not reported["ok"]
    assert reported["found"] == "the server reports no cached tokens"
    assert re.search(r"^cache +- % token-weighted", done.printed, re.MULTILINE)
    errors = {check["id"] for check in summary["verdict"] if check["level"] == "error" and not check["ok"]}
    assert errors == {"enough_completed"}  # two traces are too few, and nothing else is wrong


def test_chat_messages_of_tools_are_dropped_and_that_is_found(transformers_serve: Serving, replay: Replay) -> None:
    """Its template sees no message of role tool: the proof of prompt lengths finds that, and users' messages work."""
    line = refusal(run(replay, transformers_serve, DIALECT, "endpoint.api=chat"))
    assert "leaves a message out; try endpoint.tool_role=user" in line
    settings = ("endpoint.api=chat", "endpoint.tool_role=user", "limits.prompt_drift=1")
    done = run(replay, transformers_serve, DIALECT, *settings)
    assert done.code == 0, done.said
    assert done.summary["traces"]["completed"] == 2
    assert (done.rows.usage_completion_tokens == 6).all()
    assert (done.rows.chunks == 6).all()
    more = done.rows.usage_prompt_tokens - done.rows.new_prompt_tokens - done.rows.cached_prompt_tokens
    assert more[done.rows.turn == 0].nunique() == 1
    assert (more > 0).all()
