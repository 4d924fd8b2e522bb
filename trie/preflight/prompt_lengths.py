"""Are prompts as long on the server as they claim? A few small requests, and what the server counts of each.

Two texts of known lengths go to the server. Where its counts differ as the lengths do, the vocabulary is the model's,
and what is left is the tokens that the server adds to each text. In chat a conversation of three texts shows what the
template adds with each turn, and whether it leaves a message out. No text is longer than the workload's own prompts; a
server that refuses one for its length is asked once more, with shorter ones.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from trie.config import Api, PromptForm, RunConfig
from trie.endpoint.request_body import REASONING
from trie.errors import EndpointError, PromptError
from trie.preflight.refusals import conversation_advice, stated_context, too_long
from trie.preflight.single_request import Sender
from trie.prompts.builder import Prompts
from trie.workload.trace import Workload

log = logging.getLogger("trie")

LENGTHS = (16, 4096)
CONVERSATION = (16, 256, 256)  # prompt, answer, tool output: a turn that a template leaves out is more than it can add
LEFT_OUT = (
    "the template leaves a message out; try endpoint.tool_role=user, or accept the drift with prompts.calibrate=false"
)
REASONING_TOKENS = 64  # of that answer, where reasoning goes back: less than half, and more than a template adds
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
    context: int | None = None  # tokens, as the refusal of a longer text named it

    @property
    def verified(self) -> bool:
        """Whether the lengths are known to be right."""
        return self.offset_tokens is not None


class _PromptTooLongError(EndpointError):
    """The server refused a text for its length."""


def longest_prompt(workload: Workload) -> int:
    """Tokens of the longest prompt of a workload, its final requests'."""
    prompts = (trace.context_tokens - trace.final_assistant_response_length for trace in workload.traces)
    return max(prompts, default=UNKNOWN_CONTEXT)


async def verify_prompts(
    prompts: Prompts, sender: Sender, *, context: int | None, longest: int
) -> tuple[Prompts, LengthCheck]:
    """The prompts in the form that the server takes, and what it counts of them.

    Args:
        prompts: in the form that is wanted; their text comes back where the server takes no token ids.
        sender: to the server; `prompts.calibrate` of its config may leave it all out.
        context: tokens of the model's context, None where they are not known.
        longest: tokens of the longest prompt that the workload has.

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
    check = await _verify_within(prompts, sender, min((context or UNKNOWN_CONTEXT) // 2, longest))
    return prompts, replace(check, form_note=form_note)


async def _verify_within(prompts: Prompts, sender: Sender, longest: int) -> LengthCheck:
    """Verify with texts of at most `longest` tokens, once more with shorter ones where the server refuses them."""
    chat = sender.config.endpoint.api is Api.chat
    reasoning = chat and sender.config.history == REASONING

    async def count_tokens(*texts: bytes, reasoning: bytes = b"") -> int | None:
        return await _counted(sender, prompts.form, *texts, reasoning=reasoning)

    async def verify(longest: int) -> LengthCheck:
        return await verify_lengths(prompts, count_tokens, longest=longest, chat=chat, reasoning=reasoning)

    try:
        return await verify(longest)
    except _PromptTooLongError as refusal:
        sent = min(longest, LENGTHS[1])
        context = stated_context(str(refusal), sent=sent)
        known = "that is its context" if context is not None else "its context is not known"
        log.warning("a text of %d tokens is refused, %s; shorter ones are tried: %s", sent, known, refusal)
    return replace(await verify(max((context or sent // 2) // 2, 1)), context=context)


async def verify_lengths(
    prompts: Prompts, count_tokens: CountTokens, *, longest: int, chat: bool = False, reasoning: bool = False
) -> LengthCheck:
    """Have the server count a short and a long text: 16 and 4,096 tokens, or half of `longest` and `longest` if less.

    `count_tokens` sends the texts of a conversation (prompt, answer, tool output) and answers the `usage.prompt_tokens`
    that came back, None when there was none. Of `chat`, a conversation of three texts is counted too, with
    `reasoning` that goes back where the run sends it back.

    Raises:
        PromptError: when the counts do not differ as the texts do: this vocabulary is not the model's, or its template
            leaves texts out, and lengths would be wrong.
    """
    lengths = [max(min(LENGTHS[0], longest // 2), 1), min(LENGTHS[1], longest)]
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
    per_turn, counted = await _per_turn(prompts, count_tokens, offsets[0], longest=longest, reasoning=reasoning)
    if not counted:
        log.warning(
            "the template leaves out the reasoning that history=%s sends back: later prompts are shorter", REASONING
        )
    return LengthCheck(offsets[0], f"{finding}, and {per_turn} more with each turn", Template(offsets[0], per_turn))


def bos_tokens_of(config: RunConfig, prompts: Prompts, length_check: LengthCheck) -> int:
    """Tokens to take off each first prompt: as set, else as many as the server is known to add to a text."""
    if config.endpoint.bos_tokens is not None:
        return config.endpoint.bos_tokens
    if config.endpoint.api is Api.chat:
        return 0  # a template adds to every turn: stated as drift, not hidden in the first
    added = length_check.offset_tokens if length_check.verified else prompts.adds_bos
    return added or 0


async def _per_turn(
    prompts: Prompts, count_tokens: CountTokens, first_tokens: int, *, longest: int, reasoning: bool
) -> tuple[int, bool]:
    """The tokens that a chat template adds with each turn, and whether it has the reasoning that goes back."""
    asked, answer, output = (min(length, max(longest // 4, 1)) for length in CONVERSATION)
    thought_tokens = max(min(REASONING_TOKENS, answer // 4), 1) if reasoning else 0
    lengths = [asked, max(answer - thought_tokens, 1), output]
    texts = [prompts.text(length, (STEP, "turn", place)) for place, length in enumerate(lengths)]
    thoughts = {"reasoning": prompts.text(thought_tokens, (STEP, "thoughts"))} if reasoning else {}
    count = await count_tokens(*texts, **thoughts)
    if output < CONVERSATION[2]:  # so short that what a template adds may hide a message that it leaves out
        halves = [lengths[0], *(max(length // 2, 1) for length in lengths[1:])]
        shorter = [prompts.text(length, (STEP, "half", place)) for place, length in enumerate(halves)]
        _require_growth(count, await count_tokens(*shorter, **thoughts), sum(lengths) - sum(halves))
    sent = sum(lengths) + thought_tokens
    added = (count or 0) - sent - first_tokens
    if -thought_tokens <= added < 0:
        return added + thought_tokens, False
    if added < 0:
        raise PromptError(
            f"{STEP}: the server counts {count or 0} tokens for a conversation of {sent} and the "
            f"{first_tokens} of its template: {LEFT_OUT}"
        )
    return added, True


def _require_growth(longer: int | None, shorter: int | None, tokens: int) -> None:
    """Refuse a server whose count does not grow as a conversation's answer and tool output do.

    Raises:
        PromptError: when one of them is not in the count.
    """
    if longer is not None and shorter is not None and longer - shorter < tokens:
        raise PromptError(
            f"{STEP}: the server counts {longer - shorter} tokens more for {tokens} more in a conversation: {LEFT_OUT}"
        )


async def _counted(sender: Sender, form: PromptForm, *texts: bytes, reasoning: bytes) -> int | None:
    """Tokens of a conversation by the server's count.

    Raises:
        EndpointError: when it refuses.
    """
    request = await sender.send(*texts, tokens=1, stream=False, form=form, reasoning=reasoning)
    if request.failure is None:
        return request.answer.prompt_tokens
    reason, config = request.failure[1], sender.config
    if len(texts) == 1 and too_long(request.exchange.status, reason):
        raise _PromptTooLongError(f"{STEP}: {reason}; prompts.calibrate=false goes on without")
    advice = conversation_advice(reason, config.endpoint, config.history) if len(texts) > 1 else None
    if advice is not None:
        raise EndpointError(f"{STEP}: the server refuses a tool's output behind the call of it ({reason}): {advice}")
    sender.raise_for(request, STEP)
    return None


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
