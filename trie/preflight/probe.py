"""`trie probe`: all that a run finds out beforehand, and what only a few requests of its own can tell of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from trie.config import Api, RunConfig
from trie.endpoint import sse
from trie.endpoint.get_json import Reply, ask
from trie.endpoint.request import Request
from trie.endpoint.response import DONE, loads
from trie.engines.counters import Meter
from trie.errors import PromptError, WorkloadError
from trie.preflight.limits import fitting, needed_tokens
from trie.preflight.single_request import Sender
from trie.preflight.steps import Prepared, prepared
from trie.workload.load import load as load_workload
from trie.workload.trace import Workload

ANSWER_TOKENS = 32  # of the stream that is taken apart
PREFIX_TOKENS = 1024  # that are sent twice: several blocks, whatever an engine's block
FEW_TOKENS = 64
IDS = list(range(100, 116))  # which every vocabulary has


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A stream, taken apart."""

    chunks: int  # that bore a token
    done: bool  # whether it ended in [DONE]
    usage: str | None  # where it comes: own chunk, finish chunk, every chunk; None: nowhere


async def examine(config: RunConfig, *, api_key: str | None = None) -> dict[str, Any]:
    """Discover a server as a run does, and try what only requests tell; JSON values for people and scripts.

    Raises:
        TrieError: when the server is not usable as the settings have it.
    """
    workload = await asyncio.to_thread(load_workload, config.workload)
    try:
        return {**await _examined(config, workload, api_key), "refused": None}
    except PromptError as error:  # another tokenizer is all it takes: the rest is worth knowing
        not_verified = replace(config, prompts=replace(config.prompts, calibrate=False))
        examination = await _examined(not_verified, workload, api_key)
        examination["prompts"]["finding"] = "lengths are not those of the model's tokens"
        return {**examination, "refused": str(error)}


def anatomy(body: bytes, chunks: int) -> Anatomy:
    """What the events of a stream hold; `chunks` of them bore a token."""
    events = [event.data for event in sse.decode(body)]
    done = any(event.strip() == DONE for event in events)
    values = [_value(event) for event in events if event.strip() != DONE]
    with_usage = [value for value in values if isinstance(value.get("usage"), dict)]
    return Anatomy(chunks, done, _usage_place(with_usage, chunks))


def _value(event: bytes) -> dict[str, Any]:
    try:
        value = loads(event)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _usage_place(with_usage: list[dict[str, Any]], chunks: int) -> str | None:
    if not with_usage:
        return None
    if len(with_usage) > 1 and len(with_usage) >= chunks:
        return "every chunk"
    choices = with_usage[-1].get("choices")
    return "finish chunk" if choices else "own chunk"


async def _examined(config: RunConfig, workload: Workload, api_key: str | None) -> dict[str, Any]:
    async with prepared(config, replace(workload, traces=[]), api_key=api_key) as ready:
        return {
            "server": ready.server(),
            "api": ready.config.endpoint.api.name,
            "workload": _fits(workload, ready),
            "prompts": {"name": ready.prompts.name, "finding": ready.length_check.finding},
            **await _trials(ready),
            "counters": await _counters(ready),
        }


def _fits(workload: Workload, ready: Prepared) -> dict[str, Any]:
    """How many of a workload's traces the context holds; None where it is not known."""
    template, fit = ready.length_check.template, None
    if ready.context is not None:
        try:
            fit = len(fitting(workload, ready.context, skip=True, template=template).traces)
        except WorkloadError:
            fit = 0
    longest = max(needed_tokens(trace, template) for trace in workload.traces)
    return {"name": workload.name, "traces": len(workload.traces), "fit": fit, "longest_tokens": longest}


async def _trials(ready: Prepared) -> dict[str, Any]:
    """What a handful of requests show."""
    sender = _sender(ready, ready.config)
    room = max((ready.context or PREFIX_TOKENS * 2) // 2, 1)
    text = ready.prompts.text(min(FEW_TOKENS, room), ("trial",))
    stream = await sender.send(text, tokens=ANSWER_TOKENS, stream=True, form=ready.prompts.form)
    sender.raise_for(stream, "a stream")
    return {
        "stream": await _stream(ready, stream, text),
        "cache": await _cache(ready, sender, min(PREFIX_TOKENS, room)),
        "token_ids": await _token_ids(ready),
    }


def _sender(ready: Prepared, config: RunConfig) -> Sender:
    return Sender(config, ready.servers[0], ready.model, ready.discoveries[0].listed.models)


async def _stream(ready: Prepared, request: Request, text: bytes) -> dict[str, Any]:
    parts = anatomy(request.exchange.body, len(request.answer.token_ends))
    in_every_chunk, first_chunk_tokens = await _usage_in_every_chunk(ready, text)
    return {
        "done": parts.done,
        "usage": parts.usage,
        "tokens": request.answer.completion_tokens,
        "requested_tokens": ANSWER_TOKENS,
        "chunks": parts.chunks,
        "finish_reason": request.answer.finish_reason,
        "ignore_eos": ready.config.endpoint.ignore_eos,
        "continuous_usage": in_every_chunk,
        "first_chunk_tokens": first_chunk_tokens,
    }


async def _usage_in_every_chunk(ready: Prepared, text: bytes) -> tuple[bool, int | None]:
    """Whether a stream has usage in every chunk when it is asked for, and the tokens of the first chunk by it."""
    sender = _sender(ready, replace(ready.config, endpoint=replace(ready.config.endpoint, continuous_usage=True)))
    request = await sender.send(text, tokens=ANSWER_TOKENS, stream=True, form=ready.prompts.form)
    if request.failure is not None:
        return False, None
    in_every_chunk = anatomy(request.exchange.body, len(request.answer.token_ends)).usage == "every chunk"
    return in_every_chunk, request.answer.first_chunk_tokens if in_every_chunk else None


async def _cache(ready: Prepared, sender: Sender, tokens: int) -> dict[str, Any]:
    """The same text twice: what of the second comes from a cache, by the server's usage."""
    text = ready.prompts.text(tokens, ("trial", "prefix"))
    stream, form = ready.config.stream, ready.prompts.form
    requests = [await sender.send(text, tokens=1, stream=stream, form=form) for _ in range(2)]
    for request in requests:
        sender.raise_for(request, "a prefix")
    first, again = (request.answer for request in requests)
    return {
        "prompt_tokens": again.prompt_tokens,
        "cached_tokens_first": first.cached_tokens,
        "cached_tokens_again": again.cached_tokens,
        "flag": ready.config.endpoint.cache_flag,
        "workers": sorted({request.exchange.worker for request in requests if request.exchange.worker}),
    }


async def _token_ids(ready: Prepared) -> dict[str, Any] | None:
    """Whether a prompt may be ids, and whether the answer's come back; None on the chat route, which has none."""
    if ready.config.endpoint.api is not Api.completions:
        return None
    refused = None
    for fields in ({"return_token_ids": True}, {}):
        reply = await _ask_by_ids(ready, fields)
        if reply.status == 200:
            choices = reply.json.get("choices") if isinstance(reply.json, dict) else None
            first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
            return {"accepted": True, "returned": bool(first.get("token_ids")), "refused": None}
        refused = f"HTTP {reply.status}: {reply.error or reply.body[:300].decode('utf-8', 'replace')}"
    return {"accepted": False, "returned": False, "refused": refused}


async def _ask_by_ids(ready: Prepared, fields: Mapping[str, Any]) -> Reply:
    endpoint = ready.config.endpoint
    body = {"model": ready.model, "prompt": IDS, endpoint.max_tokens_field: 2, **endpoint.extra_body, **fields}
    return await ask(ready.servers[0], "/completions", post=orjson.dumps(body), within_s=ready.config.timeout)


async def _counters(ready: Prepared) -> dict[str, Any] | None:
    """Which of the engine's counters can be read, by their number; None where none can."""
    counters = await Meter(ready.config.endpoint, ready.beside).start()
    if counters is None:
        return None
    prefixes = {name.partition("{")[0].partition(":")[0] for name in counters.values if ":" in name}
    return {"route": ready.config.endpoint.metrics_route, "number": len(counters.values), "of": sorted(prefixes)}
