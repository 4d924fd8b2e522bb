"""Are prompts as long on the server as they claim? A few small requests, and what the server counts of each.

Two texts of known lengths go to the server. Where its counts differ as the lengths do, the vocabulary is the model's,
and what is left is the tokens that the server adds to each text. In chat a conversation of three texts shows what the
template adds with each turn, and whether it leaves a message out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from trie.config import Api, PromptForm, RunConfig, ToolRole
from trie.errors import EndpointError, PromptError
from trie.preflight.single_request import Sender
from trie.prompts.builder import Prompts

log = logging.getLogger("trie")

LENGTHS = (16, 4096)
CONVERSATION = (16, 256, 256)  # prompt, answer, tool output: a turn that a template leaves out is more than it can add
UNKNOWN_CONTEXT = 1 << 30  # tokens
IDS_TOKENS = 16  # of the prompt by which the server is asked whether it takes ids
STEP = "prompt lengths"  # in errors and in the seeds of its texts

CountTokens = Callable[..., Awaitable[int | None]]  # of a conversation's texts, as the server counts them


@dataclass(frozen=True, slots=True)
class Template:
    """What a chat template adds to the texts of a conversation."""

    first_tokens: int  # to the first prompt: its message, what stands before it, and the beginning of an answer
    per_turn_tokens: int  # by each further turn: an answer's message and a tool output's

    def tokens(self, turns: int) -> int:
        """What it adds to the last request of a session with so many further turns."""
        return self.first_tokens + self.per_turn_tokens * turns


@dataclass(frozen=True, slots=True)
class LengthCheck:
    """What the server adds to a text (BOS, template), equal at both lengths; None when it reports no usage."""

    offset_tokens: int | None
    finding: str  # one line for people
    template: Template | None = None  # of chat, where it was verified
    form_note: str | None = None  # for people: why text is sent where token ids were wanted

    @property
    def verified(self) -> bool:
        """Whether the lengths are known to be right."""
        return self.offset_tokens is not None


async def verify_prompts(prompts: Prompts, sender: Sender, *, context: int | None) -> tuple[Prompts, LengthCheck]:
    """The prompts in the form that the server takes, and what it counts of them.

    Args:
        prompts: in the form that is wanted; their text comes back where the server takes no token ids.
        sender: to the server; `prompts.calibrate` of its config may leave it all out.
        context: tokens of the model's context, None where they are not known.

    Raises:
        PromptError: when the prompts are not as long on the server as they claim.
        EndpointError: when it refuses to answer.
    """
    config = sender.config
    if prompts.note:
        log.warning("%s; using the word list instead", prompts.note)
    if not config.prompts.calibrate:
        return prompts, LengthCheck(None, "lengths not verified: prompts.calibrate=false")
    form_note = None
    if prompts.form is PromptForm.token_ids and prompts.in_text is not None:
        form_note = await _why_no_ids(prompts, sender)
        if form_note is not None:
            log.warning("prompts: %s", form_note)
            prompts = prompts.in_text

    async def count_tokens(*texts: bytes) -> int | None:
        return await _counted(sender, prompts.form, *texts)

    chat = config.endpoint.api is Api.chat
    check = await verify_lengths(prompts, count_tokens, longest=(context or UNKNOWN_CONTEXT) // 2, chat=chat)
    return prompts, replace(check, form_note=form_note)


async def verify_lengths(
    prompts: Prompts, count_tokens: CountTokens, *, longest: int, chat: bool = False
) -> LengthCheck:
    """Have the server count texts of 16 and up to 4,096 tokens, or `longest` where its context is smaller.

    `count_tokens` sends the texts of a conversation (prompt, answer, tool output) and answers the `usage.prompt_tokens`
    that came back, None when there was none. Of `chat`, a conversation of three texts is counted too.

    Raises:
        PromptError: when the counts do not differ as the texts do: this vocabulary is not the model's, or its template
            leaves texts out, and lengths would be wrong.
    """
    lengths = [min(length, longest) for length in LENGTHS]
    replies = [await count_tokens(prompts.text(length, (STEP, length))) for length in lengths]
    counts = [count for count in replies if count is not None]
    if len(counts) < len(lengths):
        return LengthCheck(None, "lengths not verified: the server reports no usage")
    offsets = [count - length for count, length in zip(counts, lengths, strict=True)]
    if offsets[0] != offsets[1] or offsets[0] < 0:
        listed = ", ".join(f"{count} for {length}" for count, length in zip(counts, lengths, strict=True))
        raise PromptError(
            f"{STEP}: the server counts {listed} tokens ({prompts.name}); give the model's own with "
            "tokenizer_model=FOLDER_OR_HUB_ID, or accept the drift with prompts.calibrate=false"
        )
    finding = f"lengths verified: the server counts n + {offsets[0]} for n tokens"
    if not chat:
        return LengthCheck(offsets[0], finding)
    template = Template(offsets[0], await _per_turn(prompts, count_tokens, offsets[0], longest=longest))
    return LengthCheck(offsets[0], f"{finding}, and {template.per_turn_tokens} more with each turn", template)


def bos_tokens_of(config: RunConfig, prompts: Prompts, length_check: LengthCheck) -> int:
    """Tokens to take off each first prompt: as set, else as many as the server is known to add to a text."""
    if config.endpoint.bos_tokens is not None:
        return config.endpoint.bos_tokens
    if config.endpoint.api is Api.chat:
        return 0  # a template adds to every turn: stated as drift, not hidden in the first
    added = length_check.offset_tokens if length_check.verified else prompts.adds_bos
    return added or 0


async def _per_turn(prompts: Prompts, count_tokens: CountTokens, first_tokens: int, *, longest: int) -> int:
    """The tokens that a chat template adds with each turn."""
    lengths = [min(length, max(longest // 4, 1)) for length in CONVERSATION]
    texts = [prompts.text(length, (STEP, "turn", place)) for place, length in enumerate(lengths)]
    count = await count_tokens(*texts)
    added = (count or 0) - sum(lengths) - first_tokens
    if added < 0:
        raise PromptError(
            f"{STEP}: the server counts {count or 0} tokens for a conversation of {sum(lengths)} and the "
            f"{first_tokens} of its template: the template leaves a message out; try endpoint.tool_role=user, or "
            "accept the drift with prompts.calibrate=false"
        )
    return added


async def _counted(sender: Sender, form: PromptForm, *texts: bytes) -> int | None:
    """Tokens of a conversation by the server's count.

    Raises:
        EndpointError: when it refuses.
    """
    request = await sender.send(*texts, tokens=1, stream=False, form=form)
    if request.failure is not None and len(texts) > 1 and sender.config.endpoint.tool_role is ToolRole.tool:
        raise EndpointError(
            f"{STEP}: the server refuses a tool's output behind the call of it ({request.failure[1]}): "
            "endpoint.tool_role=user sends it as the user's"
        )
    sender.raise_for(request, STEP)
    return request.answer.prompt_tokens


async def _why_no_ids(prompts: Prompts, sender: Sender) -> str | None:
    """What keeps a run from token ids, for people; None when the server takes them and gives them back."""
    text = prompts.text(IDS_TOKENS, (STEP, "ids"))
    request = await sender.send(text, tokens=1, stream=sender.config.stream, form=prompts.form)
    if request.failure is None:
        return None
    status, reason = request.exchange.status, request.failure[1]
    if status is None:
        sender.raise_for(request, STEP)
    if status is not None and status >= 300:
        return f"text is sent: the server takes no token ids ({reason})"
    return f"text is sent: the server gives no token ids back ({reason})"
