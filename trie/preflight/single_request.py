"""Single requests beside a run, made exactly as the run makes its own, and advice on those that a server refuses.

Verification of prompt lengths, the rehearsal of a stream, warm-up and `trie probe` send them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from time import perf_counter

from trie.config import Api, EndpointConfig, PromptForm, RunConfig
from trie.endpoint.connection import Connections
from trie.endpoint.request import Request, Requester
from trie.endpoint.request_body import RequestFormat
from trie.errors import EndpointError

NEWER_LENGTH = "max_completion_tokens"
MODELS_SHOWN = 8  # that a message names


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

    async def send(self, *texts: bytes, tokens: int, stream: bool, form: PromptForm) -> Request:
        """Ask for so many tokens after a conversation; the outcome, good or bad, is in the request.

        Args:
            texts: of the conversation's turns: the session's, an answer, the session's again.
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

    def raise_for(self, request: Request, step: str) -> None:
        """Raise for a request that failed; `step` names what it was for.

        Raises:
            EndpointError: saying why, and what to do about it.
        """
        if request.failure is None:
            return
        reason = request.failure[1]
        advice = refusal_advice(
            request.exchange.status, reason, self.config.endpoint, model=self._model, models=self._models
        )
        raise EndpointError(f"{step}: {reason}; {advice or 'prompts.calibrate=false goes on without'}")


def refusal_advice(
    status: int | None, reason: str, endpoint: EndpointConfig, *, model: str, models: Sequence[str]
) -> str | None:
    """One line of advice on a refusal; None where there is none to give.

    Args:
        status: of the response.
        reason: in the server's words, as far as it gives one.
        endpoint: as the request was made.
        model: which it named.
        models: which the server lists, as far as it does.
    """
    if status == 404:
        return _not_found_advice(reason, endpoint, model, models)
    if status not in (400, 422):
        return None
    settings = [
        setting for field, setting in _ways_out(endpoint, reason) if re.search(rf"\b{re.escape(field)}\b", reason)
    ]
    return f"leave it out with {' '.join(settings)}" if settings else None


def _not_found_advice(reason: str, endpoint: EndpointConfig, model: str, models: Sequence[str]) -> str:
    if models and model not in models:
        return f"the server lists {', '.join(models[:MODELS_SHOWN])}: set model=NAME"
    if model in reason:
        return f"does the server know its model as {model}? model=NAME sets the name"
    other = Api.chat if endpoint.api is Api.completions else Api.completions
    return (
        f"does the server have the route of endpoint.api={endpoint.api.name}? endpoint.api={other.name} takes the other"
    )


def _ways_out(endpoint: EndpointConfig, reason: str) -> Iterator[tuple[str, str]]:
    """Each field that requests have and a server may not know, with the setting that drops or renames it."""
    if endpoint.ignore_eos is not None:
        yield "ignore_eos", "endpoint.ignore_eos=null"
    if endpoint.include_usage:
        yield "stream_options", "endpoint.include_usage=false"
    if endpoint.continuous_usage:
        yield "continuous_usage_stats", "endpoint.continuous_usage=false"
    if endpoint.min_tokens_field is not None:
        yield endpoint.min_tokens_field, "endpoint.min_tokens_field=null"
    if endpoint.prompt_form is PromptForm.token_ids:
        yield "return_token_ids", "endpoint.prompt_form=text"
    if endpoint.declare_tools:
        yield "tools", "endpoint.declare_tools=false"
    for field in endpoint.extra_body:
        yield field, f"~endpoint.extra_body.{field}"
    if endpoint.max_tokens_field != NEWER_LENGTH and NEWER_LENGTH in reason:
        yield endpoint.max_tokens_field, f"endpoint.max_tokens_field={NEWER_LENGTH}"
