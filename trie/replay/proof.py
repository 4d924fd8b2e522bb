"""The requests by which prompts are proven on the server before a run: their lengths, their form, the chat's roles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from trie.config import Api, PromptForm, RunConfig, ToolRole
from trie.endpoint.connection import Connections
from trie.endpoint.conversation import RequestFormat
from trie.errors import EndpointError
from trie.prompts.calibration import Calibration, calibrate
from trie.prompts.maker import Prompts
from trie.replay.request import Request, Requester

log = logging.getLogger("trie")
UNKNOWN_CONTEXT = 1 << 30  # tokens
IDS_TOKENS = 16  # of the prompt by which the server is asked whether it takes ids


async def prove(
    config: RunConfig, prompts: Prompts, connections: Connections, model: str, *, context: int | None
) -> tuple[Prompts, Calibration]:
    """The prompts that the server takes, and what it counts of them.

    Args:
        config: whose `prompts.calibrate` may leave it all out.
        prompts: in the form that is wanted; their text comes back where the server takes no token ids.
        connections: open, to the server.
        model: as the server calls it.
        context: tokens of the model's context, None where they are not known.

    Raises:
        PromptError: when the prompts are not as long on the server as they claim.
        EndpointError: when it refuses to answer.
    """
    if prompts.note:
        log.warning("%s; using the word list instead", prompts.note)
    if not config.prompts.calibrate:
        return prompts, Calibration(None, "lengths not proven: prompts.calibrate=false")
    asking = _Asking(config, connections, model)
    note = None
    if prompts.form is PromptForm.token_ids and prompts.in_text is not None:
        note = await asking.why_no_ids(prompts)
        if note is not None:
            log.warning("prompts: %s", note)
            prompts = prompts.in_text

    async def ask(*texts: bytes) -> int | None:
        return await asking.count(prompts.form, texts)

    chat = config.endpoint.api is Api.chat
    found = await calibrate(prompts, ask, longest=(context or UNKNOWN_CONTEXT) // 2, chat=chat)
    return prompts, replace(found, form_note=note)


class _Asking:
    """Requests of one token, made as the run will make its own."""

    def __init__(self, config: RunConfig, connections: Connections, model: str) -> None:
        self._config = config
        self._connections = connections
        self._model = model

    async def count(self, form: PromptForm, texts: Sequence[bytes]) -> int | None:
        """Tokens of a conversation by the server's count.

        Raises:
            EndpointError: when it refuses.
        """
        fmt = RequestFormat(self._config.endpoint, self._model, stream=False, form=form, history=self._config.history)
        request = await self._sent(fmt, texts)
        if request.failure is None:
            return request.answer.prompt_tokens
        why = request.failure[1]
        if len(texts) > 1 and self._config.endpoint.tool_role is ToolRole.tool:
            raise EndpointError(
                f"calibration: the server refuses a tool's output behind the call of it ({why}): "
                "endpoint.tool_role=user sends it as the user's"
            )
        raise EndpointError(f"calibration: {why}; prompts.calibrate=false goes on without")

    async def why_no_ids(self, prompts: Prompts) -> str | None:
        """What keeps a run from token ids, for people; None when the server takes them and gives them back."""
        stream, history = self._config.stream, self._config.history
        fmt = RequestFormat(self._config.endpoint, self._model, stream=stream, form=prompts.form, history=history)
        request = await self._sent(fmt, [prompts.text(IDS_TOKENS, ("calibration", "ids"))])
        if request.failure is None:
            return None
        if request.exchange.status is None:
            raise EndpointError(f"calibration: {request.failure[1]}; prompts.calibrate=false goes on without")
        if request.exchange.status >= 300:
            return f"text is sent: the server takes no token ids ({request.failure[1]})"
        return f"text is sent: the server gives no token ids back ({request.failure[1]})"

    async def _sent(self, fmt: RequestFormat, texts: Sequence[bytes]) -> Request:
        conversation = fmt.conversation()
        for place, text in enumerate(texts):
            (conversation.recite if place % 2 else conversation.ask)((text,))
        request = Request(fmt.body(conversation, 1), b"", perf_counter())
        config = self._config
        await Requester(self._connections, fmt, max_retries=config.max_retries, timeout_s=config.timeout).run(request)
        return request
