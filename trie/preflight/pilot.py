"""How fast a server works at the load of a run: a batch of requests before it, of which there are no rows.

A stationary start needs it, to know how long traces last. It is no measurement: a factor of two in it changes little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf, isinf
from statistics import fmean
from typing import NamedTuple

from trie.config import RunConfig
from trie.preflight.single_request import Sender
from trie.prompts.builder import Prompts
from trie.sim.virtual import Prompt, VirtualEndpoint
from trie.workload.closed_loop import Pace

PROMPT_TOKENS, ANSWER_TOKENS = 1024, 32


class PilotRequest(NamedTuple):
    """A request of the batch; instants in seconds."""

    sent: float
    first: float | None  # token; None where answers do not stream
    end: float
    tokens: int  # of the answer


async def measured_pace(senders: Sequence[Sender], prompts: Prompts, *, context: int | None, stream: bool) -> Pace:
    """Send as many requests at once as the run will have traces, each with a text of its own.

    Raises:
        EndpointError: when one of them fails.
    """
    count = senders[0].config.concurrency.value
    prompt_tokens = min(PROMPT_TOKENS, max((context or 2 * PROMPT_TOKENS) // 2, 1))

    async def sent(number: int) -> PilotRequest:
        text, sender = prompts.text(prompt_tokens, ("pilot", number)), senders[number % len(senders)]
        request = await sender.send(text, tokens=ANSWER_TOKENS, stream=stream, form=prompts.form)
        sender.raise_for(request, f"pilot of start={sender.config.start.name}", "start=together needs none")
        exchange, began = request.exchange, request.began or request.queued
        first = exchange.read_at[0] if stream and exchange.read_at else None
        return PilotRequest(began, first, exchange.end or began, request.answer.completion_tokens or ANSWER_TOKENS)

    return pace_of(await asyncio.gather(*map(sent, range(count))), prompt_tokens)


def simulated_pace(config: RunConfig) -> Pace:
    """The same of the embedded endpoint's model, in virtual time."""
    endpoint = VirtualEndpoint(config.sim, stream=config.stream)
    jobs = [
        endpoint.ask(0.0, Prompt(("pilot", number), PROMPT_TOKENS), ANSWER_TOKENS, fault=None)
        for number in range(config.concurrency.value)
    ]
    while endpoint.until_end(inf):
        pass
    first = [job.first_at if config.stream else None for job in jobs]
    batch = [PilotRequest(0.0, at, job.last_at, ANSWER_TOKENS) for at, job in zip(first, jobs, strict=True)]
    return pace_of(batch, PROMPT_TOKENS)


def pilot_facts(pace: Pace) -> dict[str, float | None]:
    """The manifest's `server.pilot`."""
    prompt_tok_s = None if isinf(pace.prompt_tok_s) else pace.prompt_tok_s
    return {"prompt_tok_s": prompt_tok_s, "answer_step_s": pace.answer_step_s}


def pace_of(batch: Sequence[PilotRequest], prompt_tokens: int) -> Pace:
    """The pace at which requests that were sent at the same time have been served."""
    firsts = [request.first for request in batch if request.first is not None]
    steps_s = [
        (request.end - (request.sent if request.first is None else request.first)) / request.tokens for request in batch
    ]
    prefill_s = max(firsts) - min(request.sent for request in batch) if firsts else 0.0
    return Pace(
        prompt_tok_s=len(batch) * prompt_tokens / prefill_s if prefill_s > 0 else inf,
        answer_step_s=max(fmean(steps_s), 0.0),
    )
