"""One request with its attempts: send, judge, send again where that helps, and say in a row what became of it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from operator import sub
from time import perf_counter

from trie.endpoint import response, retry, sse
from trie.endpoint.connection import Connections
from trie.endpoint.exchange import Exchange
from trie.endpoint.json_text import loads
from trie.endpoint.request_body import RequestFormat
from trie.endpoint.server_errors import message
from trie.one_line import one_line
from trie.storage.record import Outcome, RequestRecord

EVENT_STREAM = "text/event-stream"
LARGE_SHARE = 0.1  # of an answer in its first read, from which on its tokens move the decode speed
MAX_STALE = 16  # connections found closed before one attempt is counted


@dataclass(slots=True)
class Request:
    """One request's state while it is open."""

    body: bytes
    headers: bytes
    queued: float  # perf_counter
    exchange: Exchange = field(default_factory=Exchange)
    answer: response.Answer = field(default_factory=response.Answer)
    began: float | None = None  # the first attempt: at its send, or at its start where it found no connection
    attempts: int = 0
    rate_limited: int = 0  # of them
    failure: tuple[str, str] | None = None  # kind and text, once it has ended badly


class Requester:
    """Sends the requests of a run, all in one format, and retries what is worth it.

    Args:
        connections: open for the run.
        fmt: how bodies are written.
        max_retries: further attempts after a retryable failure.
        timeout_s: bound of one request, all attempts included.
        stall_s: bound of the time between two reads of an answer, from its first on; None for none.
        on_retry: called before each further attempt.
        next_pass: waits until work on the loop may go on beside the reads of sockets; one for the whole run.
        worker: what rows call the server where there are several, and no header that names them.
    """

    def __init__(
        self,
        connections: Connections,
        fmt: RequestFormat,
        *,
        max_retries: int,
        timeout_s: float,
        stall_s: float | None = None,
        on_retry: Callable[[], None] = lambda: None,
        next_pass: Callable[[], Awaitable[None]] | None = None,
        worker: str | None = None,
    ) -> None:
        self._connections = connections
        self._worker = worker
        self._format = fmt
        self._max_retries = max_retries
        self._timeout_s = timeout_s
        self._stall_s = stall_s
        self._on_retry = on_retry
        self._next_pass = next_pass or _next_pass

    async def run(self, request: Request) -> None:
        """See a request through to its end; `request.failure` is None when the answer is whole.

        A cancellation leaves in `request` what had come until then, decoded.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                await self._attempts(request)
        except TimeoutError:
            if not limit.expired():
                raise
            before = f"; before that {request.failure[1]}" if request.failure is not None else ""
            request.failure = ("timeout", f"no whole answer within {self._timeout_s:g} s{before}")
            self._decode_rest(request)
            answered = request.exchange.answered is not None and request.exchange.status == 200
            if answered:  # what was late is the end of the body, or the client
                request.failure = request.answer.failure(stream=True)
        except asyncio.CancelledError:
            self._decode_rest(request)
            request.exchange.end = perf_counter()  # of a pause between attempts: not the end of the attempt before it
            raise
        finally:
            self._hide_keys(request)

    def _hide_keys(self, request: Request) -> None:
        """What the server said goes into rows, logs and messages: a key that it repeats goes no further than here."""
        hide, answer, exchange = self._connections.hide, request.answer, request.exchange
        if request.failure is not None:
            request.failure = (request.failure[0], hide(one_line(request.failure[1])))
        if answer.finish_reason is not None:
            answer.finish_reason = hide(answer.finish_reason)
        exchange.worker = self._worker if exchange.worker is None else hide(exchange.worker)

    async def _attempts(self, request: Request) -> None:
        for retries in range(self._max_retries + 1):
            await self._attempt(request)
            request.failure = await self._judge(request)
            if request.failure is None or retries == self._max_retries:
                return
            if not retry.is_worthwhile(request.exchange, tokens_came=bool(request.answer.token_ends)):
                return
            self._on_retry()
            await asyncio.sleep(retry.pause_s(request.exchange, retries))

    async def _attempt(self, request: Request) -> None:
        for _ in range(MAX_STALE):
            exchange = request.exchange = Exchange()
            request.answer = self._format.answer()
            began = perf_counter()
            try:
                await self._post(request)
            finally:
                if not exchange.unused:
                    request.attempts += 1
                    request.began = request.began or exchange.sent or began
                request.rate_limited += exchange.status == 429
            if not exchange.stale:
                return

    async def _post(self, request: Request) -> None:
        exchange = request.exchange
        post = self._connections.post(self._format.route, request.body, exchange, headers=request.headers)
        if self._stall_s is None:
            await post
            return
        try:
            async with asyncio.timeout(None) as silence, unless_stalled(exchange, silence, self._stall_s):
                await post
        except TimeoutError:
            if not silence.expired():
                raise
            exchange.error_kind, exchange.error = "stalled", f"nothing came for {self._stall_s:g} s in mid-answer"

    async def _judge(self, request: Request) -> tuple[str, str] | None:
        exchange, answer = request.exchange, request.answer
        if exchange.status is not None and not 200 <= exchange.status < 300:
            return "http_status", f"HTTP {exchange.status}: {_error_text(exchange)}"
        if exchange.status is not None:
            await self._decode(exchange, answer)
        if exchange.error_kind is not None and (answer.error is None or answer.error[0] == "bad_response"):
            return exchange.error_kind, exchange.error or exchange.error_kind  # a cut-off event is its consequence
        if answer.error is not None:
            return answer.error
        return answer.failure(stream=self._format.stream or self._streams(exchange))

    async def _decode(self, exchange: Exchange, answer: response.Answer) -> None:
        """Read what the response says, a stretch in each pass of the loop: reads of other requests come between."""
        await self._next_pass()
        if not self._streams(exchange):
            if self._format.stream:
                _read_unasked(exchange, answer)
            elif exchange.error_kind is None:
                answer.plain(exchange.body)
            return
        for count, batch in enumerate(sse.batches(exchange.body)):
            if count:
                await self._next_pass()
            answer.events(*batch)

    def _decode_rest(self, request: Request) -> None:
        """Decode what an interrupted attempt had brought, for its row; no waiting any more."""
        exchange = request.exchange
        if exchange.status == 200 and self._streams(exchange):
            request.answer = self._format.answer()
            for batch in sse.batches(exchange.body):
                request.answer.events(*batch)

    def _streams(self, exchange: Exchange) -> bool:
        """Whether a response is read as a stream: by its first bytes, else by its label where one was asked for."""
        labelled = exchange.content_type in (EVENT_STREAM, "")
        return sse.is_stream(exchange.body) or (self._format.stream and labelled)


def _read_unasked(exchange: Exchange, answer: response.Answer) -> None:
    """What a plain answer says where a stream was asked for: nothing that can be measured, or why there is none."""
    answer.plain(exchange.body)
    if answer.error is None or answer.error[0] != "error_event":
        text = one_line(exchange.body[:200].decode("utf-8", "replace"))
        answer.error = "bad_response", f"asked for a stream, got {one_line(exchange.content_type, 60)}: {text}"


async def _next_pass() -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def unless_stalled(exchange: Exchange, silence: asyncio.Timeout, stall_s: float) -> AsyncIterator[None]:
    """Let `silence` expire once nothing has come for `stall_s` since the last read of a body that has begun."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal timer
        quiet_s = perf_counter() - exchange.read_at[-1] if exchange.read_at else 0.0
        if quiet_s >= stall_s:
            silence.reschedule(loop.time())
        else:
            timer = loop.call_later(stall_s - quiet_s, look)

    timer = loop.call_later(stall_s, look)
    try:
        yield
    finally:
        timer.cancel()


def _error_text(exchange: Exchange) -> str:
    """What an error response says, in one line."""
    if exchange.location:
        return one_line(
            f"redirects to {exchange.location}, and redirects are not followed: that is the address to give"
        )
    try:
        body = loads(exchange.body)
    except ValueError:
        return one_line(exchange.body[:600].decode("utf-8", "replace")) or "empty body"
    if isinstance(body, dict):
        body = body.get("error") or body.get("detail") or body
    return one_line(message(body)) or "empty body"


def fill(row: RequestRecord, request: Request, began: float) -> None:
    """Write a request's instants, counts and failure into its row; instants become seconds since `began`."""
    exchange, answer = request.exchange, request.answer

    def since(instant: float | None) -> float | None:
        return None if instant is None else instant - began

    row.attempts, row.rate_limited = request.attempts, request.rate_limited
    row.http_status = exchange.status
    row.sent_s = since(request.began)
    row.attempt_sent_s = since(exchange.sent)
    row.headers_s = since(exchange.headers)
    row.end_s = since(exchange.end or perf_counter())
    row.request_bytes = len(request.body)
    row.response_bytes = exchange.read_size[-1] if exchange.read_size else 0
    row.usage_prompt_tokens = answer.prompt_tokens
    row.usage_completion_tokens = answer.completion_tokens
    row.usage_cached_tokens = answer.cached_tokens
    row.usage_reasoning_tokens = answer.reasoning_tokens
    row.finish_reason = None if answer.finish_reason is None else one_line(answer.finish_reason, 40)
    row.worker = None if exchange.worker is None else one_line(exchange.worker, 200)
    token_ends = answer.token_ends
    row.chunks = len(token_ends)
    row.first_chunk_tokens = answer.first_chunk_tokens
    row.hidden_tokens = answer.hidden_tokens
    if token_ends and exchange.read_at:
        arrivals = exchange.arrivals(token_ends)
        row.first_chunk_tokens = answer.first_chunk_tokens or _tokens_at_first(answer, arrivals)
        row.first_token_s, row.last_token_s = since(arrivals[0]), since(arrivals[-1])
        row.max_gap_s = max(map(sub, arrivals[1:], arrivals), default=None)
        row.burst_share = _burst_share(row, answer, arrivals)
    if request.failure is not None:
        row.outcome = Outcome.failed
        row.error_kind, row.error = request.failure[0], one_line(request.failure[1])


def _tokens_at_first(answer: response.Answer, arrivals: Sequence[float]) -> int | None:
    """Tokens of the first read by its share of the answer; None where that is small, or all there is.

    A parser that holds the beginning back lets it go at once, in a chunk or in several: its tokens took no time.
    """
    sizes, tokens = answer.token_sizes, answer.completion_tokens or 0
    weights = sizes if tokens > len(sizes) and any(sizes) else [1] * len(sizes)
    first = sum(weights[: bisect_right(arrivals, arrivals[0])])
    if answer.hidden_tokens or len(sizes) > tokens or not LARGE_SHARE * sum(weights) <= first < sum(weights):
        return None
    tokens_at_first = round(tokens * first / sum(weights))
    return tokens_at_first if tokens_at_first > 1 else None


def _burst_share(row: RequestRecord, answer: response.Answer, arrivals: Sequence[float]) -> float:
    """The largest part of an answer that one read brought: by its chunks where each may be a token, else by its text.

    The first chunk is no burst where the server tells how many tokens it holds: they can be left out.
    """
    tokens, hidden = answer.completion_tokens, answer.hidden_tokens or 0
    tokens = (row.requested_completion_tokens if tokens is None else tokens) - hidden
    sizes = answer.token_sizes
    weights = sizes if tokens > len(sizes) and any(sizes) else [1] * len(sizes)
    skipped = int(answer.first_chunk_tokens is not None)
    if len(set(arrivals)) == len(arrivals):  # each chunk came in a read of its own
        return max(weights[skipped:], default=0) / sum(weights)
    by_read: Counter[float] = Counter()
    for instant, weight in zip(arrivals[skipped:], weights[skipped:], strict=True):
        by_read[instant] += weight
    return max(by_read.values(), default=0) / sum(weights)
