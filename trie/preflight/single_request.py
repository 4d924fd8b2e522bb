"""Single requests beside a run, made exactly as the run makes its own, and advice on those that a server refuses.

Verification of prompt lengths, the rehearsal of a stream, warm-up and `trie probe` send them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

from trie.config import PromptForm, RunConfig
from trie.endpoint.connection import Connections
from trie.endpoint.request import Request, Requester
from trie.endpoint.request_body import RequestFormat
from trie.errors import EndpointError
from trie.preflight.refusals import refusal_advice, stated_floor

log = logging.getLogger("trie")


class Sender:
    """Sends texts to one server and brings its answers.

    Args:
        config: whose endpoint says how to speak.
        connections: open, to the server.
        model: as the server calls it.
        models: that it lists, for advice on a refusal.
    """

    def __init__(self, config: RunConfig, connections: Connections, model: str, models: Sequence[str] = ()) -> None:
        self.config = config
        self._connections = connections
        self._model = model
        self._models = models
        self.least_tokens = 1  # that the server answers, as far as a refusal told

    async def send(self, *texts: bytes, tokens: int, stream: bool, form: PromptForm, reasoning: bytes = b"") -> Request:
        """Ask for so many tokens after a conversation; the outcome, good or bad, is in the request.

        Where the server refuses to answer so few, as many as it wants are asked for, now and in later requests.

        Args:
            texts: of the conversation's turns: the session's, an answer, the session's again.
            tokens: of the answer.
            stream: whether it comes as a stream.
            form: what the texts hold.
            reasoning: goes back with each answer, as the thoughts before it.
        """
        asked = max(tokens, self.least_tokens)
        request = await self._send(*texts, tokens=asked, stream=stream, form=form, reasoning=reasoning)
        if request.failure is None:
            return request
        floor = stated_floor(request.exchange.status, request.failure[1], asked=asked)
        if floor is None:
            return request
        log.info("the server answers no fewer than %d tokens (%s)", floor, request.failure[1])
        self.least_tokens = floor
        return await self._send(*texts, tokens=floor, stream=stream, form=form, reasoning=reasoning)

    async def _send(self, *texts: bytes, tokens: int, stream: bool, form: PromptForm, reasoning: bytes) -> Request:
        config = self.config
        fmt = RequestFormat(config.endpoint, self._model, stream=stream, form=form, history=config.history)
        conversation = fmt.conversation()
        for place, text in enumerate(texts):
            if place % 2:
                conversation.recite((text,), (reasoning,) if reasoning else ())
            else:
                conversation.ask((text,))
        request = Request(fmt.body(conversation, tokens), b"", perf_counter())
        await Requester(self._connections, fmt, max_retries=config.max_retries, timeout_s=config.timeout).run(request)
        return request

    def raise_for(
        self, request: Request, step: str, otherwise: str = "prompts.calibrate=false goes on without"
    ) -> None:
        """Raise for a request that failed; `step` names what it was for, `otherwise` how to go on without it.

        Raises:
            EndpointError: saying why, and what to do about it.
        """
        if request.failure is None:
            return
        reason = request.failure[1]
        advice = refusal_advice(
            request.exchange.status, reason, self.config.endpoint, model=self._model, models=self._models
        )
        raise EndpointError(f"{step}: {reason}; {advice or otherwise}")
