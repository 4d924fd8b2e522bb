"""The embedded endpoint: the model behind real HTTP and server-sent events, on loopback alone."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import fields
from itertools import count
from time import perf_counter
from typing import Any
from zlib import crc32

import orjson
from aiohttp import web

import trie
from trie.config import SimConfig
from trie.errors import ConfigError, EndpointError, TrieError
from trie.sim import tokens, wire
from trie.sim.faults import NATURAL_TOKENS, REFUSED, Faults
from trie.sim.jobs import Job
from trie.sim.metrics_text import metrics_text
from trie.sim.realtime import Driver
from trie.sim.response import Ask, Journal, Stream, abort, json_response, plain

HOST = "127.0.0.1"
MAX_BODY_BYTES = 1 << 28
DEFAULT_TOKENS = 16  # of a completion that names no max_tokens
LENGTH_FIELDS = ("max_completion_tokens", "max_tokens")  # the first that is given counts


class Refusal(Exception):  # noqa: N818 - an answer, not an error of this program
    """A request that the server answers with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """The routes over one engine."""

    def __init__(self, config: SimConfig, journal: Journal) -> None:
        self.config = config
        self._journal = journal
        self.driver = Driver(config)
        self.faults = Faults(config)
        self._reader = tokens.Reader(config)
        self._numbers = count()

    def app(self) -> web.Application:
        """The application, ready for a runner."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/reset_prefix_cache", self._reset)
        return app

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=False)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=True)

    async def _generate(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        content = await request.read()
        arrived = perf_counter()
        try:
            body = self._body(content)
            prompt = await self._prompt(body, chat=chat)
            length, finish = self._length(body, prompt, chat=chat)
        except Refusal as refusal:
            return _refused(refusal.status, str(refusal), request)
        fault = self.faults.next()
        if fault in REFUSED:
            return _refused(REFUSED[fault], f"injected fault {fault}", request)
        if fault == "disconnect":
            abort(request)
            return web.Response()
        number = next(self._numbers)
        ids = tokens.list_of_ids(body.get("prompt"))
        # As it will come back in the next turn's prompt, for the prefix cache.
        answer = self._reader.answer(number, length, ids=ids is not None) if self.config.cache_blocks else ()
        job = Job(prompt.blocks, prompt.tokens, length, tail=prompt.tail, answer=answer)
        ask = Ask(
            request=request,
            arrived=arrived,
            number=number,
            job=job,
            out=wire.Wire(chat=chat, number=number, model=self.config.model),
            finish=finish,
            fault=fault,
            report_cached=self.config.report_cached_tokens,
            ids=self._reader.answer_ids(number, length) if body.get("return_token_ids") else None,
            prompt_ids=ids,
            **self._usage_wanted(body, fault),
        )
        try:
            return await (self._stream(ask) if body.get("stream") else plain(ask, self.driver))
        finally:
            self.driver.cancel(ask.job)

    async def _stream(self, ask: Ask) -> web.StreamResponse:
        stream = Stream(ask)
        response = await stream.send(self.driver)
        if stream.complete and stream.chunks:
            name = ask.request.headers.get("X-Request-Id", "")
            self._journal.note(name, ask.arrived, stream.first_s, stream.last_s, stream.chunks)
        return response

    def _usage_wanted(self, body: dict[str, Any], fault: str | None) -> dict[str, bool]:
        """Whether usage is reported at the end and in every chunk; a plain answer always has it."""
        options = body.get("stream_options") or {}
        reports = self.config.report_usage and fault != "no_usage"
        last = not body.get("stream") or bool(options.get("include_usage"))
        return {"usage": reports and last, "usage_each": reports and bool(options.get("continuous_usage_stats"))}

    def _body(self, content: bytes) -> dict[str, Any]:
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"the body is no JSON: {error}") from None
        if not isinstance(body, dict):
            raise Refusal(400, "the body must be a JSON object")
        model = body.get("model")
        if model != self.config.model:
            raise Refusal(404, f"The model `{str(model)[:80]}` does not exist; this server has `{self.config.model}`")
        for key, kind in (("stream", bool), ("stream_options", dict), ("ignore_eos", bool)):
            if not isinstance(body.get(key), kind | None):
                raise Refusal(400, f"{key}: must be a {kind.__name__}, got {str(body[key])[:40]}")
        if body.get("n", 1) not in (None, 1):  # a tuple: what is given need not have a hash
            raise Refusal(400, "n: must be 1, this server gives one answer")
        return body

    async def _prompt(self, body: dict[str, Any], *, chat: bool) -> tokens.Prompt:
        try:
            prompt = tokens.chat_text(body.get("messages")) if chat else body.get("prompt")
            if self._reader.slow:
                return await asyncio.to_thread(self._reader.read, prompt)
            return self._reader.read(prompt)
        except ValueError as error:
            raise Refusal(400, str(error)) from None

    def _length(self, body: dict[str, Any], prompt: tokens.Prompt, *, chat: bool) -> tuple[int, str]:
        """The completion's length, as far as the context window holds what was asked for, and why it ends there."""
        room = self.config.max_model_len - prompt.tokens
        if room < 1:
            allowed = f"maximum context length is {self.config.max_model_len} tokens"
            raise Refusal(400, f"This model's {allowed}. However, your request has {prompt.tokens} input tokens.")
        default = room if chat else DEFAULT_TOKENS
        asked = next((body[key] for key in LENGTH_FIELDS if body.get(key) is not None), default)
        if type(asked) is not int or asked < 1:
            raise Refusal(400, f"max_tokens must be at least 1, got {str(asked)[:40]}")
        limit = min(asked, room)
        if body.get("ignore_eos"):
            return limit, "length"
        # Left to itself an answer ends where the model likes: here, in the second half of what it may say.
        within = min(limit, NATURAL_TOKENS)
        seed = f"{self.config.seed} {prompt.tokens} {prompt.tail[-4:]}"
        length = within - crc32(seed.encode("utf-8", "replace")) % (within // 2 + 1)
        return length, "stop" if length < limit else "length"

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": self.config.model, "object": "model", "owned_by": "trie-sim"}
        return json_response({"object": "list", "data": [{**model, "max_model_len": self.config.max_model_len}]})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _: web.Request) -> web.Response:
        return json_response({"version": trie.__version__, "server": "trie-sim"})

    async def _reset(self, _: web.Request) -> web.Response:
        self.driver.model.cache.clear()
        return json_response({"success": True})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=metrics_text(self.driver.model), content_type="text/plain")


def _refused(status: int, message: str, request: web.Request) -> web.Response:
    headers = {"Retry-After": "0"} if status == 429 else {}
    if "X-Request-Id" in request.headers:
        headers["X-Request-Id"] = request.headers["X-Request-Id"]
    return json_response(wire.error(status, message), status, headers)


async def serve(config: SimConfig, port: int, ended: asyncio.Event, ready: Callable[[int], None]) -> None:
    """Serve until `ended` is set; `ready` is told the port once connections are accepted.

    Raises:
        EndpointError: when the port can't be had.
        ConfigError: when the log can't be written.
    """
    with Journal(config.log) as journal:
        await _serve(Server(config, journal), port, ended, ready)


async def _serve(server: Server, port: int, ended: asyncio.Event, ready: Callable[[int], None]) -> None:
    runner = web.AppRunner(server.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port, backlog=4096)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise EndpointError(f"port {port} on {HOST} can't be had: {why}; use --port 0 for any free one") from error
        ready(runner.addresses[0][1])
        await ended.wait()
    finally:
        await runner.cleanup()


def run(config: SimConfig, port: int) -> None:
    """Serve in the foreground until SIGINT or SIGTERM, as `trie sim` does.

    Raises:
        EndpointError: when the port can't be had.
    """

    async def main() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await serve(config, port, ended, announce)

    def announce(found: int) -> None:
        sys.stdout.write(f"listening on http://{HOST}:{found}/v1 model={config.model} profile={config.profile}\n")
        sys.stdout.flush()

    _run(main())


def run_as_child() -> None:
    """Serve for a parent: settings as JSON on the first line of stdin, the port on the first of stdout, end at EOF.

    The end of stdin is the parent's end, however it came, so no server is left behind.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    config = _settings(sys.stdin.buffer.readline())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        loop.add_reader(sys.stdin.fileno(), ended.set)
        await serve(config, 0, ended, announce)

    def announce(found: int) -> None:
        sys.stdout.write(f'{{"port": {found}}}\n')
        sys.stdout.flush()

    _run(main())


def _settings(line: bytes) -> SimConfig:
    """A line of JSON as settings.

    Raises:
        ConfigError: for what is no object of SimConfig's fields.
    """
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"the first line of stdin is no JSON: {error}") from None
    known = {field.name for field in fields(SimConfig)}
    if not isinstance(given, dict) or not given.keys() <= known:
        raise ConfigError(f"the first line of stdin: must be an object of {', '.join(sorted(known))}")
    return SimConfig(**given)


def _run(main: Coroutine[Any, Any, None]) -> None:
    runner = asyncio.run
    with suppress(ImportError):
        import uvloop  # not there on every platform

        runner = uvloop.run
    runner(main)


if __name__ == "__main__":
    try:
        run_as_child()
    except TrieError as error:
        sys.exit(str(error))
