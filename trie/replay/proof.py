"""The requests by which prompts are proven on the server before a run: their lengths, their form, the chat's roles."""

from __future__ import annotations

import logging
from dataclasses import replace

from trie.config import Api, PromptForm, ToolRole
from trie.errors import EndpointError
from trie.prompts.calibration import Calibration, calibrate
from trie.prompts.maker import Prompts
from trie.replay.asker import Asker

log = logging.getLogger("trie")
UNKNOWN_CONTEXT = 1 << 30  # tokens
IDS_TOKENS = 16  # of the prompt by which the server is asked whether it takes ids
WHAT = "calibration"


async def prove(prompts: Prompts, asker: Asker, *, context: int | None) -> tuple[Prompts, Calibration]:
    """The prompts that the server takes, and what it counts of them.

    Args:
        prompts: in the form that is wanted; their text comes back where the server takes no token ids.
        asker: of the server; `prompts.calibrate` of its config may leave it all out.
        context: tokens of the model's context, None where they are not known.

    Raises:
        PromptError: when the prompts are not as long on the server as they claim.
        EndpointError: when it refuses to answer.
    """
    config = asker.config
    if prompts.note:
        log.warning("%s; using the word list instead", prompts.note)
    if not config.prompts.calibrate:
        return prompts, Calibration(None, "lengths not proven: prompts.calibrate=false")
    note = None
    if prompts.form is PromptForm.token_ids and prompts.in_text is not None:
        note = await _why_no_ids(prompts, asker)
        if note is not None:
            log.warning("prompts: %s", note)
            prompts = prompts.in_text

    async def count(*texts: bytes) -> int | None:
        return await _counted(asker, prompts.form, *texts)

    chat = config.endpoint.api is Api.chat
    found = await calibrate(prompts, count, longest=(context or UNKNOWN_CONTEXT) // 2, chat=chat)
    return prompts, replace(found, form_note=note)


async def _counted(asker: Asker, form: PromptForm, *texts: bytes) -> int | None:
    """Tokens of a conversation by the server's count.

    Raises:
        EndpointError: when it refuses.
    """
    request = await asker.ask(*texts, tokens=1, stream=False, form=form)
    if request.failure is not None and len(texts) > 1 and asker.config.endpoint.tool_role is ToolRole.tool:
        raise EndpointError(
            f"{WHAT}: the server refuses a tool's output behind the call of it ({request.failure[1]}): "
            "endpoint.tool_role=user sends it as the user's"
        )
    asker.refuse(request, WHAT)
    return request.answer.prompt_tokens


async def _why_no_ids(prompts: Prompts, asker: Asker) -> str | None:
    """What keeps a run from token ids, for people; None when the server takes them and gives them back."""
    text = prompts.text(IDS_TOKENS, (WHAT, "ids"))
    request = await asker.ask(text, tokens=1, stream=asker.config.stream, form=prompts.form)
    if request.failure is None:
        return None
    if request.exchange.status is None:
        asker.refuse(request, WHAT)
    if request.exchange.status is not None and request.exchange.status >= 300:
        return f"text is sent: the server takes no token ids ({request.failure[1]})"
    return f"text is sent: the server gives no token ids back ({request.failure[1]})"
