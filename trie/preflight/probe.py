"""`trie probe`: all that a run finds out beforehand, and what only a few requests of its own can tell of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from trie.config import Api, RunConfig
from trie.endpoint import sse
from trie.endpoint.get_json import Reply, ask
from trie.endpoint.json_text import loads
from trie.endpoint.response import DONE
from trie.endpoint.usage import first_choice, usage_of
from trie.engines.counters import Meter
from trie.errors import PromptError, WorkloadError
from trie.preflight.limits import fitting, needed_tokens
from trie.preflight.prompt_lengths import longest_prompt
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


@dataclass(frozen=True, slots=True)
class WorkloadFit:
    """The workload against the model's context."""

    name: str
    traces: int
    fit: int | None  # traces that the context holds; None: its length is not known
    longest_tokens: int


@dataclass(frozen=True, slots=True)
class PromptFinding:
    """What prompts are made of, and what came of verifying their lengths."""

    name: str
    finding: str


@dataclass(frozen=True, slots=True)
class StreamTrial:
    """One stream of a few tokens."""

    done: bool
    usage: str | None  # as `Anatomy` has it
    tokens: int | None  # of the answer, by the server's usage
    requested_tokens: int
    chunks: int
    finish_reason: str | None
    ignore_eos: bool | None  # as it was sent
    continuous_usage: bool  # whether usage is in every chunk when it is asked for
    first_chunk_tokens: int | None


@dataclass(frozen=True, slots=True)
class CacheTrial:
    """The same text twice, by the server's usage."""

    prompt_tokens: int | None
    cached_tokens_first: int | None
    cached_tokens_again: int | None
    flag: str | None  # of the server, that makes it report cached tokens
    workers: list[str]


@dataclass(frozen=True, slots=True)
class TokenIdsTrial:
    """A prompt of token ids."""

    accepted: bool
    returned: bool  # whether the answer's ids come back
    refused: str | None  # in the server's words


@dataclass(frozen=True, slots=True)
class CountersFound:
    """The engine's counters that can be read."""

    route: str | None
    number: int
    of: list[str]  # prefixes of their names


@dataclass(frozen=True, slots=True)
class Examination:
    """All that a probe found out."""

    server: Mapping[str, Any]  # as a run's manifest has it
    api: str
    workload: WorkloadFit
    prompts: PromptFinding
    stream: StreamTrial
    cache: CacheTrial
    token_ids: TokenIdsTrial | None  # None: the chat route has none
    counters: CountersFound | None  # None: they can't be read
    refused: str | None = None  # why a run with these settings would be refused

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


async def examine(config: RunConfig, *, api_key: str | None = None) -> Examination:
    """Discover a server as a run does, and try what only requests tell.

    Raises:
        TrieError: when the server is not usable as the settings have it.
    """
    workload = await asyncio.to_thread(load_workload, config.workload)
    try:
        return await _examined(config, workload, api_key)
    except PromptError as error:  # another tokenizer is all it takes: the rest is worth knowing
        not_verified = replace(config, prompts=replace(config.prompts, calibrate=False))
        examination = await _examined(not_verified, workload, api_key)
        prompts = replace(examination.prompts, finding="lengths are not those of the model's tokens")
        return replace(examination, prompts=prompts, refused=str(error))


def anatomy(body: bytes, chunks: int) -> Anatomy:
    """What the events of a stream hold; `chunks` of them bore a token."""
    events = [event.data for event in sse.decode(body)]
    done = any(event.strip() == DONE for event in events)
    values = [_value(event) for event in events if event.strip() != DONE]
    with_usage = [value for value in values if usage_of(value, first_choice(value)) is not None]
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


async def _examined(config: RunConfig, workload: Workload, api_key: str | None) -> Examination:
    async with prepared(config, workload, api_key=api_key, fit=False) as ready:
        sender = _sender(ready, ready.config)
        room = max(min((ready.context or PREFIX_TOKENS * 2) // 2, longest_prompt(workload)), 1)
        return Examination(
            server=ready.server(),
            api=ready.config.endpoint.api.name,
            workload=_workload_fit(workload, ready),
            prompts=PromptFinding(ready.prompts.name, ready.length_check.finding),
            stream=await _try_stream(ready, sender, min(FEW_TOKENS, room)),
            cache=await _try_cache(ready, sender, min(PREFIX_TOKENS, room)),
            token_ids=await _try_token_ids(ready),
            counters=await _read_counters(ready),
        )


def _workload_fit(workload: Workload, ready: Prepared) -> WorkloadFit:
    template, fit = ready.length_check.template, None
    if ready.context is not None:
        try:
            fit = len(fitting(workload, ready.context, skip=True, template=template).traces)
        except WorkloadError:
            fit = 0
    longest_tokens = max(needed_tokens(trace, template) for trace in workload.traces)
    return WorkloadFit(workload.name, len(workload.traces), fit, longest_tokens)


def _sender(ready: Prepared, config: RunConfig) -> Sender:
    return Sender(config, ready.servers[0], ready.model, ready.discoveries[0].listed.models)


async def _try_stream(ready: Prepared, sender: Sender, tokens: int) -> StreamTrial:
    text = ready.prompts.text(tokens, ("trial",))
    request = await sender.send(text, tokens=ANSWER_TOKENS, stream=True, form=ready.prompts.form)
    sender.raise_for(request, "a stream")
    parts = anatomy(request.exchange.body, len(request.answer.token_ends))
    in_every_chunk, first_chunk_tokens = await _usage_in_every_chunk(ready, text)
    return StreamTrial(
        done=parts.done,
        usage=parts.usage,
        tokens=request.answer.completion_tokens,
        requested_tokens=ANSWER_TOKENS,
        chunks=parts.chunks,
        finish_reason=request.answer.finish_reason,
        ignore_eos=ready.config.endpoint.ignore_eos,
        continuous_usage=in_every_chunk,
        first_chunk_tokens=first_chunk_tokens,
    )


async def _usage_in_every_chunk(ready: Prepared, text: bytes) -> tuple[bool, int | None]:
    """Whether a stream has usage in every chunk when it is asked for, and the tokens of the first chunk by it."""
    sender = _sender(ready, replace(ready.config, endpoint=replace(ready.config.endpoint, continuous_usage=True)))
    request = await sender.send(text, tokens=ANSWER_TOKENS, stream=True, form=ready.prompts.form)
    if request.failure is not None:
        return False, None
    in_every_chunk = anatomy(request.exchange.body, len(request.answer.token_ends)).usage == "every chunk"
    return in_every_chunk, request.answer.first_chunk_tokens if in_every_chunk else None


async def _try_cache(ready: Prepared, sender: Sender, tokens: int) -> CacheTrial:
    text = ready.prompts.text(tokens, ("trial", "prefix"))
    stream, form = ready.config.stream, ready.prompts.form
    requests = [await sender.send(text, tokens=1, stream=stream, form=form) for _ in range(2)]
    for request in requests:
        sender.raise_for(request, "a prefix")
    first, again = (request.answer for request in requests)
    return CacheTrial(
        prompt_tokens=again.prompt_tokens,
        cached_tokens_first=first.cached_tokens,
        cached_tokens_again=again.cached_tokens,
        flag=ready.config.endpoint.cache_flag,
        workers=sorted({request.exchange.worker for request in requests if request.exchange.worker}),
    )


async def _try_token_ids(ready: Prepared) -> TokenIdsTrial | None:
    if ready.config.endpoint.api is not Api.completions:
        return None
    refused = None
    for fields in ({"return_token_ids": True}, {}):
        reply = await _ask_by_ids(ready, fields)
        if reply.status == 200:
            choices = reply.json.get("choices") if isinstance(reply.json, dict) else None
            first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
            return TokenIdsTrial(accepted=True, returned=bool(first.get("token_ids")), refused=None)
        refused = f"HTTP {reply.status}: {reply.error or reply.body[:300].decode('utf-8', 'replace')}"
    return TokenIdsTrial(accepted=False, returned=False, refused=refused)


async def _ask_by_ids(ready: Prepared, fields: Mapping[str, Any]) -> Reply:
    endpoint = ready.config.endpoint
    body = {"model": ready.model, "prompt": IDS, endpoint.max_tokens_field: 2, **endpoint.extra_body, **fields}
    return await ask(ready.servers[0], "/completions", post=orjson.dumps(body), within_s=ready.config.timeout)


async def _read_counters(ready: Prepared) -> CountersFound | None:
    counters = await Meter(ready.config.endpoint, ready.beside).start()
    if counters is None:
        return None
    prefixes = {name.partition("{")[0].partition(":")[0] for name in counters.values if ":" in name}
    return CountersFound(ready.config.endpoint.metrics_route, len(counters.values), sorted(prefixes))
