"""Whole runs in each form of prompts, with each history: what servers are told, and what is found out first."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from helpers.scripted_server import DONE, END, HEAD, Script, chunked, plain_response, playing
from helpers.simulator import QUICK, Serve

from trie.config import (
    Api,
    ConcurrencyConfig,
    EndpointConfig,
    ProgressStyle,
    PromptConfig,
    PromptForm,
    RunConfig,
    SimConfig,
    ToolRole,
    WorkloadConfig,
)
from trie.errors import EndpointError, PromptError
from trie.run import Result, execute_async
from trie.workload.trace import Trace, Workload

TRACES = [Trace(50, (20, 6), (20, 30), (0.0, 0.0), 5, row=0), Trace(33, (7,), (1,), (0.0,), 9, row=1)]
WORKLOAD = Workload("w", TRACES, "a test", "0" * 64)
Folder = Callable[[str], Path]


async def replayed(url: str, tmp_path: Path, **given: Any) -> Result:
    """Four traces, one after the other: ten requests."""
    settings: dict[str, Any] = {
        "workload": WorkloadConfig(path="w.jsonl"),
        "endpoint": EndpointConfig(base_url=url, **given.pop("endpoint", {})),
        "concurrency": ConcurrencyConfig(1),
        "prompts": PromptConfig(pool_tokens=1 << 14),
        "progress": ProgressStyle.none,
        "max_traces": 4,
        "max_retries": 0,
        "html": False,
    }
    return await execute_async(RunConfig(**{**settings, **given}), tmp_path / "run", workload=WORKLOAD)


IDS = {"prompt_form": PromptForm.token_ids}


@pytest.mark.parametrize(("role", "per_turn"), [(ToolRole.tool, 3), (ToolRole.user, 2)])
async def test_a_chats_template_is_found_and_explains_the_drift(
    sim: Serve, tmp_path: Path, role: ToolRole, per_turn: int
) -> None:
    """The simulator's template has a word for each role, one for each call and one for the answer to come."""
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path, endpoint={"api": Api.chat, "tool_role": role})
    assert result.manifest["prompts"]["template"] == {"first_tokens": 2, "per_turn_tokens": per_turn}
    drift = result.summary.facts["drift"]
    added = 2 * sum(2 + per_turn * turn for turn in (0, 1, 2, 0, 1))  # two rounds of both traces
    assert (drift["prompt_tokens"], drift["unexplained_ratio"], drift["unexplained_max_abs_tokens"]) == (added, 0, 0)
    assert drift["template_ratio"] == drift["prompt_ratio"] > 0.05
    (check,) = [check for check in result.summary.verdict if check.id == "prompt_lengths"]
    assert check.ok


@pytest.mark.parametrize("api", list(Api))
async def test_recorded_answers_make_prompts_exact_and_say_so(sim: Serve, tmp_path: Path, api: Api) -> None:
    """The server's answers are shorter than recorded: with its own words in the history, so were the prompts."""
    async with sim(SimConfig(**QUICK)) as url:
        endpoint = {"api": api, "ignore_eos": None}
        own = await replayed(url, tmp_path / "own", endpoint=endpoint)
        recorded = await replayed(url, tmp_path / "recorded", endpoint=endpoint, history="recorded")
    assert own.summary.facts["drift"]["unexplained_max_abs_tokens"] > 0
    assert recorded.summary.facts["drift"]["unexplained_max_abs_tokens"] == 0
    warned = [check.id for check in recorded.summary.verdict if not check.ok]
    assert "answers_in_the_history" in warned


@pytest.mark.parametrize("stream", [True, False])
async def test_token_ids_come_back_as_they_went_and_hit_the_cache(
    sim: Serve, tmp_path: Path, folder: Folder, stream: bool
) -> None:
    async with sim(SimConfig(**QUICK, block_tokens=1, tokens_per_chunk=3)) as url:
        result = await replayed(url, tmp_path, endpoint=IDS, tokenizer_model=str(folder("byte-bpe")), stream=stream)
    rows = result.rows.sort_values(["session_id", "turn"])
    assert (rows.outcome == "ok").all()
    assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()
    later = rows[rows.turn > 0]
    assert (later.usage_cached_tokens == later.cached_prompt_tokens - 1).all()  # the last token has no KV yet
    assert (result.manifest["prompts"]["form"], result.manifest["prompts"]["form_note"]) == ("token_ids", None)
    # The simulator's first chunk holds one token, the others three; a whole body has no first chunk.
    assert (rows.first_chunk_tokens == 1).all() if stream else rows.first_chunk_tokens.isna().all()


async def test_text_and_ids_of_a_seed_are_the_same_tokens(folder: Folder) -> None:
    from transformers import PreTrainedTokenizerFast  # slow to import

    from trie.prompts.builder import load

    config = RunConfig(
        WorkloadConfig(bundled="x"), endpoint=EndpointConfig(**IDS), tokenizer_model=str(folder("byte-bpe"))
    )
    prompts = load(config, "m", 3)
    assert prompts.in_text is not None
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder("byte-bpe") / "tokenizer.json"))
    ids = json.loads(b"[" + prompts.text(5000, "key")[1:] + b"]")
    assert len(ids) == 5000
    assert tokenizer.encode(prompts.in_text.text(5000, "key").decode()) == ids


async def test_a_tokenizer_without_words_has_ids_all_the_same(sim: Serve, tmp_path: Path, folder: Folder) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path, endpoint=IDS, tokenizer_model=str(folder("letters")))
    assert result.summary.facts["drift"]["prompt_max_abs_tokens"] == 0


@pytest.mark.parametrize("tokenizer_model", [None, "words"])
async def test_token_ids_without_a_tokenizer_are_refused(
    sim: Serve, tmp_path: Path, tokenizer_model: str | None
) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        with pytest.raises(PromptError, match=r"^endpoint\.prompt_form=token_ids: needs .* tokenizer_model=FOLDER"):
            await replayed(url, tmp_path, endpoint=IDS, tokenizer_model=tokenizer_model)


# ---- servers that take less


Reply = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]


def answering(reply: Reply) -> AbstractAsyncContextManager[tuple[str, list[bytes]]]:
    """A server with the model m: what `reply` makes of a request's body, as status and JSON."""

    def answer(request: bytes) -> Script:
        if request.startswith(b"GET /v1/models"):
            return (plain_response("200 OK", b'{"data": [{"id": "m"}]}'),)
        if request.startswith(b"GET"):
            return (plain_response("404 Not Found", b"{}"),)
        status, body = reply(json.loads(request.partition(b"\r\n\r\n")[2]))
        return (plain_response(status, json.dumps(body).encode()),)

    return playing(answer)


def counted(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def of_text(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A server of completions that knows neither token ids nor what it is to give them back."""
    if not isinstance(body["prompt"], str):
        return "400 Bad Request", {"error": {"message": "data did not match any variant"}}
    return without_ids(body)


def without_ids(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    prompt, tokens = body["prompt"], body["max_tokens"]
    known = len(prompt) if isinstance(prompt, list) else prompt.count(" ")
    said = {"text": " a" * tokens, "finish_reason": "length"}
    return "200 OK", {"choices": [said], "usage": counted(known, tokens)}


@pytest.mark.parametrize(
    ("reply", "note"),
    [(of_text, "takes no token ids (HTTP 400: data did not match"), (without_ids, "gives no token ids back (0 token")],
)
async def test_text_is_sent_to_a_server_that_knows_no_ids(
    tmp_path: Path, folder: Folder, caplog: pytest.LogCaptureFixture, reply: Reply, note: str
) -> None:
    caplog.set_level(logging.WARNING, "trie")
    async with answering(reply) as (url, got):
        tokenizer = str(folder("byte-bpe"))
        result = await replayed(url, tmp_path, endpoint=IDS, tokenizer_model=tokenizer, stream=False)
    assert result.manifest["prompts"]["form"] == "text"
    assert note in result.manifest["prompts"]["form_note"]
    assert sum(note in record.message for record in caplog.records) == 1
    assert (result.rows.outcome == "ok").all()
    assert result.summary.facts["drift"]["prompt_max_abs_tokens"] == 0
    assert b"return_token_ids" not in got[-1]


async def test_a_template_that_refuses_tools_is_one_line(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if any(message["role"] == "tool" for message in body["messages"]):
            return "400 Bad Request", {"error": {"message": "Unexpected message role."}}
        words = sum(message["content"].count(" ") for message in body["messages"])
        return "200 OK", {"choices": [{"message": {"content": " a"}}], "usage": counted(words, 1)}

    async with answering(reply) as (url, _):
        with pytest.raises(EndpointError) as caught:
            await replayed(url, tmp_path, endpoint={"api": Api.chat})
        assert "Unexpected message role" in str(caught.value)
        assert "endpoint.tool_role=user" in str(caught.value)
        await replayed(url, tmp_path, endpoint={"api": Api.chat, "tool_role": ToolRole.user}, stream=False)


async def test_reasoning_and_calls_go_back_in_their_place(tmp_path: Path) -> None:
    call = {"id": "mine", "type": "function", "function": {"name": "look", "arguments": '{"at": 1'}}
    message = {"content": None, "reasoning_content": " so", "tool_calls": [call]}
    bodies: list[dict[str, Any]] = []

    def reply(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        bodies.append(body)
        return "200 OK", {"choices": [{"message": message}], "usage": counted(9, body["max_tokens"])}

    async with answering(reply) as (url, _):
        settings: dict[str, Any] = {"history": "content+reasoning", "prompts": PromptConfig(calibrate=False)}
        await replayed(url, tmp_path, endpoint={"api": Api.chat}, stream=False, max_traces=1, **settings)
    cut = {**call, "function": {"name": "look", "arguments": '{"cut_off":"{\\"at\\": 1"}'}}
    assert [one["role"] for one in bodies[2]["messages"]] == ["user", "assistant", "tool", "assistant", "tool"]
    assert bodies[2]["messages"][1] == {
        "role": "assistant", "content": "", "reasoning_content": " so", "tool_calls": [cut],
    }  # fmt: skip
    assert bodies[2]["messages"][2]["tool_call_id"] == "mine"


async def test_a_stream_of_reasoning_and_calls_is_timed_from_its_first_and_goes_back(tmp_path: Path) -> None:
    """Five chunks bear tokens, two of reasoning and three of a call; the first comes 50 ms before the second."""
    pieces: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"reasoning": " so"},
        {"reasoning": " then"},
        {"tool_calls": [{"index": 0, "id": "mine", "function": {"name": "look", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
    ]
    events = [
        b"data: %b\n\n" % json.dumps({"choices": [{"delta": piece, "finish_reason": None}]}).encode()
        for piece in pieces
    ]
    ending = b'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    bodies: list[dict[str, Any]] = []

    def answer(request: bytes) -> Script:
        if request.startswith(b"GET"):
            return (plain_response("200 OK", b'{"data": [{"id": "m"}]}'),)
        bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        first, rest = b"".join(events[:2]), b"".join(events[2:]) + ending + DONE
        return HEAD, chunked(first), 0.05, chunked(rest) + END

    async with playing(answer) as (url, _):
        endpoint = {"api": Api.chat, "metrics_route": None, "load_keys": []}
        result = await replayed(url, tmp_path, endpoint=endpoint, max_traces=1, prompts=PromptConfig(calibrate=False))
    rows = result.rows
    assert ((rows.outcome == "ok") & (rows.chunks == 5) & (rows.last_token_s - rows.first_token_s > 0.04)).all()
    (_, said, output) = bodies[-1]["messages"][-3:]
    assert (said["content"], "reasoning_content" in said) == ("", False)
    assert said["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": 1}'}
    assert (output["role"], output["tool_call_id"]) == ("tool", "mine")
