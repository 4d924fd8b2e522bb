"""Proof that prompts have the length they claim, on the server at hand: a few small requests and what it counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trie.errors import PromptError
from trie.prompts.maker import Prompts

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
