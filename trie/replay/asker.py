"""Single requests beside a run, made exactly as the run makes its own: for calibration, rehearsal, warm-up, trials."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from trie.config import PromptForm, RunConfig
from trie.endpoint.connection import Connections
from trie.endpoint.conversation import RequestFormat
from trie.endpoint.refusals import advice
from trie.errors import EndpointError
from trie.replay.request import Request, Requester


class Asker:
    """Asks one server for answers to texts.

    Args:
        config: whose endpoint says how to speak.
        connections: open, to the server.
        model: as the server calls it.
        models: that it lists, for what is said of a refusal.
    """

    def __init__(self, config: RunConfig, connections: Connections, model: str, models: Sequence[str] = ()) -> None:
        self.config = config
        self._connections = connections
        self._model = model
        self._models = models

    async def ask(self, *texts: bytes, tokens: int, stream: bool, form: PromptForm) -> Request:
        """Ask for so many tokens after a conversation; what came of it is in the request.

        Args:
            texts: what is said in turns: by a session, as an answer, by a session again.
            tokens: of the answer.
            stream: whether it comes as a stream.
            form: what the texts hold.
        """
        config = self.config
        fmt = RequestFormat(config.endpoint, self._model, stream=stream, form=form, history=config.history)
        conversation = fmt.conversation()
        for place, text in enumerate(texts):
            (conversation.recite if place % 2 else conversation.ask)((text,))
        request = Request(fmt.body(conversation, tokens), b"", perf_counter())
        await Requester(self._connections, fmt, max_retries=config.max_retries, timeout_s=config.timeout).run(request)
        return request

    def refuse(self, request: Request, what: str) -> None:
        """Raise for a request that failed.

        Raises:
            EndpointError: saying why, and what to do about it.
        """
        if request.failure is None:
            return
        how = advice(
            request.exchange.status,
            request.failure[1],
            self.config.endpoint,
            model=self._model,
            models=self._models,
        )
        raise EndpointError(f"{what}: {request.failure[1]}; {how or 'prompts.calibrate=false goes on without'}")
