"""Requests before the clock starts, for caches, kernels and compilers that are slow the first time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from trie.preflight.single_request import Sender
from trie.prompts.builder import Prompts

PROMPT_TOKENS, ANSWER_TOKENS = 1024, 16


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What came of it; no rows are made of these requests."""

    requests: int
    failed: int
    seconds: float
    error: str | None  # of the first that failed

    def __str__(self) -> str:
        failed = f", {self.failed} failed: {self.error}" if self.failed else ""
        return f"{self.requests} requests in {self.seconds:.1f} s{failed}"


async def warm_up(
    senders: Sequence[Sender], prompts: Prompts, *, count: int, concurrency: int, context: int | None, stream: bool
) -> WarmUp:
    """Send so many requests, `concurrency` at a time, the servers in turn, each with a text of its own.

    Args:
        senders: one for each server.
        prompts: of the run; texts of 1,024 tokens, or of half the context where that is shorter.
        count: of all requests.
        concurrency: at a time.
        context: of the model in tokens, None where it is not known.
        stream: as the run has it.
    """
    tokens = min(PROMPT_TOKENS, max((context or 2 * PROMPT_TOKENS) // 2, 1))
    numbers = iter(range(count))
    errors: list[str] = []
    began = perf_counter()

    async def send_in_turn() -> None:
        for number in numbers:
            text = prompts.text(tokens, ("warm-up", number))
            sender = senders[number % len(senders)]
            request = await sender.send(text, tokens=ANSWER_TOKENS, stream=stream, form=prompts.form)
            if request.failure is not None:
                errors.append(request.failure[1])

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, count)):
            group.create_task(send_in_turn())
    return WarmUp(count, len(errors), perf_counter() - began, errors[0] if errors else None)
