"""Proof that prompts have the length they claim, on the server at hand: two small requests and what it counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trie.errors import PromptError
from trie.prompts.maker import Prompts

LENGTHS = (16, 4096)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the server adds to a text (BOS, template), equal at both lengths; None when it reports no usage."""

    offset_tokens: int | None
    finding: str  # one line for people

    @property
    def proven(self) -> bool:
        return self.offset_tokens is not None


async def calibrate(prompts: Prompts, ask: Callable[[bytes], Awaitable[int | None]], *, longest: int) -> Calibration:
    """Ask the server to count texts of 16 and up to 4,096 tokens, or `longest` where its context is smaller.

    `ask` sends a text and answers the `usage.prompt_tokens` that came back, None when there was none.

    Raises:
        PromptError: when the two differ: this vocabulary is not the model's, and lengths would be wrong.
    """
    lengths = [min(length, longest) for length in LENGTHS]
    found = [await ask(prompts.text(length, ("calibration", length))) for length in lengths]
    counts = [count for count in found if count is not None]
    if len(counts) < len(lengths):
        return Calibration(None, "lengths not proven: the server reports no usage")
    offsets = [count - length for count, length in zip(counts, lengths, strict=True)]
    if offsets[0] == offsets[1] and offsets[0] >= 0:
        return Calibration(offsets[0], f"lengths proven: the server counts n + {offsets[0]} for n tokens")
    seen = ", ".join(f"{count} for {length}" for count, length in zip(counts, lengths, strict=True))
    raise PromptError(
        f"prompt lengths: the server counts {seen} tokens ({prompts.name}); "
        "give the model's own with tokenizer_model=FOLDER_OR_HUB_ID, or accept the drift with prompts.calibrate=false"
    )
