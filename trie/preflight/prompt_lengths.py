"""Proof that prompts have the length they claim, on the server at hand: a few small requests and what it counted."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from trie.config import Api, PromptForm, ToolRole
from trie.errors import EndpointError, PromptError
from trie.preflight.single_request import Asker
from trie.prompts.builder import Prompts

LENGTHS = (16, 4096)
CONVERSATION = (16, 256, 256)  # prompt, answer, tool output: a turn that a template leaves out is more than it can add

Ask = Callable[..., Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Template:
    """What a chat template adds to the texts of a conversation."""

    first_tokens: int  # to the first prompt: its message, what stands before it, and the beginning of an answer
    per_turn_tokens: int  # by each further turn: an answer's message and a tool output's

    def tokens(self, turns: int) -> int:
        """What it adds to the last request of a session with so many further turns."""
        return self.first_tokens + self.per_turn_tokens * turns


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the server adds to a text (BOS, template), equal at both lengths; None when it reports no usage."""

    offset_tokens: int | None
    finding: str  # one line for people
    template: Template | None = None  # of chat, where it was proven
    form_note: str | None = None  # for people: why text is sent where token ids were wanted

    @property
    def proven(self) -> bool:
        return self.offset_tokens is not None


async def calibrate(prompts: Prompts, ask: Ask, *, longest: int, chat: bool = False) -> Calibration:
    """Ask the server to count texts of 16 and up to 4,096 tokens, or `longest` where its context is smaller.

    `ask` sends the texts of a conversation (prompt, answer, tool output) and answers the `usage.prompt_tokens` that
    came back, None when there was none. Of `chat`, one of three texts is counted too.

    Raises:
        PromptError: when the counts do not differ as the texts do: this vocabulary is not the model's, or its template
            leaves texts out, and lengths would be wrong.
    """
    lengths = [min(length, longest) for length in LENGTHS]
    found = [await ask(prompts.text(length, ("calibration", length))) for length in lengths]
    counts = [count for count in found if count is not None]
    if len(counts) < len(lengths):
        return Calibration(None, "lengths not proven: the server reports no usage")
    offsets = [count - length for count, length in zip(counts, lengths, strict=True)]
    if offsets[0] != offsets[1] or offsets[0] < 0:
        seen = ", ".join(f"{count} for {length}" for count, length in zip(counts, lengths, strict=True))
        raise PromptError(
            f"prompt lengths: the server counts {seen} tokens ({prompts.name}); give the model's own with "
            "tokenizer_model=FOLDER_OR_HUB_ID, or accept the drift with prompts.calibrate=false"
        )
    finding = f"lengths proven: the server counts n + {offsets[0]} for n tokens"
    if not chat:
        return Calibration(offsets[0], finding)
    template = Template(offsets[0], await _per_turn(prompts, ask, offsets[0], longest=longest))
    return Calibration(offsets[0], f"{finding}, and {template.per_turn_tokens} more with each turn", template)


async def _per_turn(prompts: Prompts, ask: Ask, first_tokens: int, *, longest: int) -> int:
    lengths = [min(length, max(longest // 4, 1)) for length in CONVERSATION]
    texts = [prompts.text(length, ("calibration", "turn", place)) for place, length in enumerate(lengths)]
    count = await ask(*texts)
    added = (count or 0) - sum(lengths) - first_tokens
    if added < 0:
        raise PromptError(
            f"prompt lengths: the server counts {count or 0} tokens for a conversation of {sum(lengths)} and the "
            f"{first_tokens} of its template: the template leaves a message out; try endpoint.tool_role=user, or "
            "accept the drift with prompts.calibrate=false"
        )
    return added


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
