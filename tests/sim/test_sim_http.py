"""The HTTP surface, by real requests."""

from __future__ import annotations

import asyncio
import json
from time import perf_counter

import pytest


@pytest.mark.parametrize("chat", [False, True])
async def test_a_stream_has_a_chunk_for_each_token_then_usage_then_done(sim, chat):
    said = await (await sim()).stream(max_tokens=5, chat=chat)
    assert said.status == 200
    assert said.headers["Content-Type"].startswith("text/event-stream")
    assert len(said.texts) == 5
    assert all(piece.startswith(" ") and piece[1:].isalpha() for piece in said.texts)
    assert said.finish == ["length"]
    assert said.events[-1] == "[DONE]"
    assert said.events[-2]["choices"] == []
    prompt = 5 if chat else 3
    counts = {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5}
    assert said.usage == {**counts, "prompt_tokens_details": {"cached_tokens": 0}}


async def test_chunks_look_as_each_route_has_them(sim):
    endpoint = await sim()
    first, second = (await endpoint.stream(max_tokens=2)).events[:2]
    assert (first["object"], first["choices"][0]["finish_reason"]) == ("text_completion", None)
    assert second["choices"][0]["finish_reason"] == "length"
    chunks = (await endpoint.stream(max_tokens=2, chat=True)).events[:2]
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "role" not in chunks[1]["choices"][0]["delta"]


@pytest.mark.parametrize("chat", [False, True])
async def test_without_stream_the_answer_comes_whole_with_usage(sim, chat):
    said = await (await sim()).ask(max_tokens=7, chat=chat)
    assert said.events[0]["object"] == ("chat.completion" if chat else "text_completion")
    assert len(said.texts[0].split()) == 7
    assert said.usage["completion_tokens"] == 7


async def test_usage_in_a_stream_is_sent_as_asked_for(sim):
    endpoint = await sim()
    without = await endpoint.ask(stream=True, max_tokens=3)
    assert not any("usage" in event for event in without.events[:-1])
    each = await endpoint.stream(max_tokens=3, stream_options={"include_usage": True, "continuous_usage_stats": True})
    assert [event["usage"]["completion_tokens"] for event in each.events[:-1]] == [1, 2, 3, 3]


async def test_a_server_may_report_no_usage_or_no_cached_tokens(sim):
    silent = await (await sim(report_usage=False)).stream(max_tokens=2)
    assert not any("usage" in event for event in silent.events[:-1])
    assert "prompt_tokens_details" not in (await (await sim(report_cached_tokens=False)).stream(max_tokens=2)).usage


async def test_the_next_turn_hits_the_cache_past_the_answer(sim):
    endpoint = await sim(block_tokens=4)
    prompt = "".join(f" w{i}" for i in range(10))
    first = await endpoint.stream(prompt, max_tokens=6)
    assert first.usage["prompt_tokens_details"] == {"cached_tokens": 0}
    turn = prompt + "".join(first.texts) + " t0 t1 t2 t3 t4"
    second = await endpoint.ask(turn, max_tokens=1)
    assert second.usage["prompt_tokens"] == 21
    assert second.usage["prompt_tokens_details"] == {"cached_tokens": 12}  # 10 + 5 tokens of KV in blocks of 4
    await endpoint.post("/reset_prefix_cache", {})
    assert (await endpoint.ask(turn, max_tokens=1)).usage["prompt_tokens_details"] == {"cached_tokens": 0}


async def test_the_next_turn_of_a_chat_hits_the_cache_past_the_answer(sim):
    endpoint = await sim(block_tokens=2)
    messages = [{"role": "user", "content": "w0 w1 w2"}]  # 3 words, 2 for the roles
    first = await endpoint.post(
        "/v1/chat/completions", {"model": "sim", "messages": messages, "max_tokens": 4, "ignore_eos": True}
    )
    messages += [{"role": "assistant", "content": first.texts[0]}, {"role": "user", "content": "more"}]
    body = {"model": "sim", "messages": messages, "max_tokens": 1}
    second = await endpoint.post("/v1/chat/completions", body)
    assert second.usage["prompt_tokens"] == 5 + 4 + 3
    assert second.usage["prompt_tokens_details"] == {"cached_tokens": 8}  # 5 + 3 tokens of KV


async def test_answers_differ_and_token_ids_are_a_prompt_too(sim):
    endpoint = await sim()
    answers = [(await endpoint.ask([5, 6, 7], max_tokens=8)).texts[0] for _ in range(3)]
    assert len(set(answers)) == 3
    assert (await endpoint.ask([[5, 6, 7]], max_tokens=1)).usage["prompt_tokens"] == 3


async def test_token_ids_come_back_where_they_are_asked_for(sim):
    endpoint = await sim(block_tokens=1, tokens_per_chunk=2)
    said = await endpoint.stream([5, 6, 7], max_tokens=3, return_token_ids=True)
    choices = [event["choices"][0] for event in said.events[:2]]
    assert [choice["prompt_token_ids"] for choice in choices] == [[5, 6, 7], None]
    ids = [one for choice in choices for one in choice["token_ids"]]
    assert len(ids) == 3
    again = await endpoint.ask([5, 6, 7, *ids, 8], max_tokens=4, return_token_ids=True)
    assert again.usage["prompt_tokens_details"] == {"cached_tokens": 5}  # the last token has no KV yet
    assert len(again.events[0]["choices"][0]["token_ids"]) == 4


async def test_left_to_itself_an_answer_may_end_early_and_always_at_the_same_place(sim):
    endpoint = await sim()
    prompts = [f" p{n}" for n in range(20)]
    said = [await endpoint.ask(prompt, ignore_eos=False, max_tokens=40) for prompt in prompts]
    lengths = [one.usage["completion_tokens"] for one in said]
    assert all(20 <= length <= 40 for length in lengths)
    assert len(set(lengths)) > 5
    assert [one.finish[0] for one in said] == ["stop" if length < 40 else "length" for length in lengths]
    again = [await endpoint.ask(prompt, ignore_eos=False, max_tokens=40) for prompt in prompts]
    assert [one.usage["completion_tokens"] for one in again] == lengths


async def test_the_context_window_cuts_an_answer_and_refuses_a_prompt_that_leaves_no_room(sim):
    endpoint = await sim(max_model_len=10)
    said = await endpoint.ask(" a" * 7, max_tokens=50)
    assert said.usage["completion_tokens"] == 3
    assert said.finish == ["length"]
    refused = await endpoint.ask(" a" * 10, max_tokens=1)
    assert refused.status == 400
    assert "maximum context length is 10 tokens" in refused.events[0]["error"]["message"]


async def test_lengths_by_either_name_and_by_default(sim):
    endpoint = await sim(max_model_len=100)
    asked = [{}, {"max_tokens": None}, {"max_tokens": 2}, {"max_tokens": 2, "max_completion_tokens": 3}]
    assert [(await endpoint.ask(**body)).usage["completion_tokens"] for body in asked] == [16, 16, 2, 3]
    assert (await endpoint.ask(chat=True)).usage["completion_tokens"] == 95


BAD = [
    b"",
    b"{",
    b"[]",
    b'"hi"',
    b"\xff",
    {"model": "sim"},
    {"model": "sim", "prompt": ""},
    {"model": "sim", "prompt": 3},
    {"model": "sim", "prompt": ["a", "b"]},
    {"model": "sim", "prompt": "a", "max_tokens": 0},
    {"model": "sim", "prompt": "a", "max_tokens": "9"},
    {"model": "sim", "prompt": "a", "max_tokens": True},
    {"model": "sim", "prompt": "a", "stream": "yes"},
    {"model": "sim", "prompt": "a", "stream_options": [1]},
    {"model": "sim", "prompt": "a", "n": 2},
    {"model": "sim", "prompt": "a", "n": [2]},
]


@pytest.mark.parametrize("body", BAD, ids=str)
async def test_a_bad_body_is_400_with_an_error_object(sim, body):
    said = await (await sim()).post("/v1/completions", body)
    assert said.status == 400
    error = said.events[0]["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", 400)
    assert error["message"]


async def test_an_unknown_model_is_404_and_a_refusal_takes_no_slot(sim):
    endpoint = await sim()
    said = await endpoint.post("/v1/completions", {"model": "other", "prompt": "a"})
    assert said.status == 404
    assert "`other` does not exist" in said.events[0]["error"]["message"]
    assert (await endpoint.metrics())["num_requests_running"] == 0


async def test_models_health_and_the_request_id(sim):
    endpoint = await sim(model="m", max_model_len=77)
    async with endpoint.session.get(endpoint.root + "/v1/models") as response:
        (model,) = json.loads(await response.read())["data"]
    assert (model["id"], model["max_model_len"], model["owned_by"]) == ("m", 77, "trie-sim")
    async with endpoint.session.get(endpoint.root + "/health") as response:
        assert response.status == 200
    for stream in (True, False):
        said = await endpoint.ask(model="m", stream=stream, max_tokens=1, headers={"X-Request-Id": "r-1"})
        assert said.headers["X-Request-Id"] == "r-1"


async def test_metrics_count_what_was_done(sim):
    endpoint = await sim(block_tokens=4)
    for _ in range(2):
        await endpoint.ask(" a" * 9, max_tokens=5)
    found = await endpoint.metrics()
    assert {name: value for name, value in found.items() if "seconds" not in name} == {
        "num_requests_running": 0,
        "num_requests_waiting": 0,
        "cache_blocks_used": 4,  # 2 of the prompt, 1 for each answer: 9 + 4 tokens
        "prefix_cache_queries_total": 18,
        "prefix_cache_hits_total": 8,
        "prompt_tokens_total": 18,
        "generation_tokens_total": 10,
        "request_success_total": 2,
        "num_preemptions_total": 0,
    }
    counts = {name: value for name, value in found.items() if name.endswith("_seconds_count")}
    assert counts == {
        "queue_time_seconds_count": 2,
        "time_to_first_token_seconds_count": 2,
        "e2e_request_latency_seconds_count": 2,
        "inter_token_latency_seconds_count": 8,
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_a_disconnect_frees_the_slot(sim, stream, at_most):
    endpoint = await sim(max_running=1, decode_base_s=0.05)
    hanging = asyncio.create_task(endpoint.ask(max_tokens=10_000, stream=stream))
    while (await endpoint.metrics())["num_requests_running"] == 0:  # noqa: ASYNC110 - it is another side's state
        await asyncio.sleep(0.01)
    hanging.cancel()
    began = perf_counter()
    assert (await endpoint.stream(max_tokens=2)).usage["completion_tokens"] == 2
    assert perf_counter() - began < at_most(5)  # the one before would have taken 500 s
    assert (await endpoint.metrics())["num_requests_running"] == 0


async def test_tokens_leave_when_the_model_says(sim, at_most):
    endpoint = await sim(prefill_tok_s=1000.0, decode_base_s=0.02, request_overhead_s=0.05)
    body = json.dumps({"model": "sim", "prompt": " a" * 50, "max_tokens": 11, "ignore_eos": True, "stream": True})
    async with endpoint.session.get(endpoint.root + "/health"):
        pass  # the connection is open
    began = perf_counter()
    async with endpoint.session.post(endpoint.root + "/v1/completions", data=body) as response:
        reads = [perf_counter() - began async for _ in response.content.iter_any()]
    first, last = 0.05 + 50 / 1000, 0.05 + 50 / 1000 + 10 * 0.02
    assert first <= reads[0] < first + at_most(0.1)  # never early; late only as far as this machine is
    assert last <= reads[-1] < last + at_most(0.1)


async def test_a_body_of_many_megabytes_is_taken(sim):
    endpoint = await sim(max_model_len=20_000_000)
    said = await endpoint.ask(" word" * 4_000_000, max_tokens=1)
    assert said.usage["prompt_tokens"] == 4_000_000


async def test_many_streams_at_once_all_come_whole(sim):
    endpoint = await sim(max_running=7)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(endpoint.stream(f" p{n}", max_tokens=n + 1)) for n in range(40)]
    assert [len(task.result().texts) for task in tasks] == list(range(1, 41))


async def test_the_model_with_chunks_serves_too(sim):
    """Memory for 64 tokens: not all of three requests of 16 + 20 tokens fit, and both get all they asked for."""
    memory = {"cache_blocks": 16, "block_tokens": 4, "max_model_len": 64}
    server = await sim(scheduler="chunked", **memory, max_running=4, decode_base_s=0.02)
    prompts = [" ".join(f"{name}{n}" for n in range(16)) for name in "abc"]
    answers = await asyncio.gather(*(server.stream(prompt, max_tokens=20) for prompt in prompts))
    assert [answer.usage["completion_tokens"] for answer in answers] == [20, 20, 20]
    assert [len(answer.texts) for answer in answers] == [20, 20, 20]
    metrics = await server.metrics()
    assert metrics["num_preemptions_total"] >= 1
    assert metrics["num_requests_running"] == 0
