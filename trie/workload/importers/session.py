"""Sessions as a source tells them, and the one rule by which they become rows of the trace format.

Theory of operation: a source states for each request how long its whole prompt was. Of two requests that follow each
other, the second prompt holds the first one, the visible part of its answer, and what is new: a tool's output or a
user's words. So the new part is `next prompt - prompt - visible answer`. Where that is negative, something of the
conversation is gone: a compaction, not a tool output of no length. Then the prompt survives if the next one is no
shorter. If it is shorter, or the source says that the conversation was compacted, the tokens that survive are those
that the source shows to be the same (hashes of blocks, cached tokens); where it shows nothing, nothing survives.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from trie.workload.importers.fidelity import Fidelity
from trie.workload.row import MAX_LATENCY_S, MAX_TOKENS
from trie.workload.synthetic import LogNormal

DRAWN_WAIT = LogNormal(0.46, 1.5)  # seconds, of the recorded agentic workload
DRAWN_RANGE = (0.006, 60.35)


class Call(NamedTuple):
    """One request of a session; lengths are tokens, instants are seconds of any clock that the session keeps to."""

    prompt: int  # all of it, cached tokens included
    completion: int  # reasoning included
    reasoning: int = 0
    start_s: float | None = None
    end_s: float | None = None
    wait_s: float | None = None  # before it, where the source states it
    survives: int | None = None  # tokens of the conversation that are the same at its head, where the source shows it
    compacted: bool = False  # the source says that the conversation was compacted before it

    @property
    def visible(self) -> int:
        """What of the answer the next prompt holds."""
        return self.completion - self.reasoning


@dataclass(slots=True)
class Session:
    """Requests of one agent in their order, and the agents that it started."""

    calls: list[Call]
    subagents: list[tuple[int, Session]] = field(default_factory=list)  # started after the answer of this call
    start_s: float | None = None  # on a clock that all sessions of the source keep to


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a source can't tell."""

    input_length: str | None = None  # "whole" or "new": what an input length of a later request counts
    cap_wait_s: float = MAX_LATENCY_S
    answer_tok_s: float = 50.0  # speed by which an answer's end is estimated where only starts are known
    seed: int = 0  # of waits that are drawn


class Rows:
    """Makes rows out of sessions, and counts what it did."""

    def __init__(self, options: Options, fidelity: Fidelity) -> None:
        self._options = options
        self._fidelity = fidelity
        self._rng = random.Random(f"waits:{options.seed}")

    def row(self, session: Session) -> dict[str, Any] | None:
        """The session as a row of the trace format; None when no request of it is left."""
        row = self._row(session)
        if row is None:
            self._fidelity.dropped["sessions without a request that can be replayed"] += 1
            return None
        self._fidelity.traces += 1
        row["source"] = self._fidelity.format
        if session.start_s is not None:
            row["start_offset_s"] = session.start_s
        return row

    def _row(self, session: Session) -> dict[str, Any] | None:
        kept = [at for at, call in enumerate(session.calls) if self._allowed(call)]
        if not kept:
            return None
        calls = [session.calls[at] for at in kept]
        last = calls[-1]
        self._fidelity.requests += len(calls)
        self._fidelity.turns += len(calls) - 1
        row: dict[str, Any] = {
            "num_turns": len(calls) - 1,
            "input_prompt_length": calls[0].prompt,
            "assistant_response_length": [],
            "tool_call_output_length": [],
            "tool_call_latency": [],
            "final_assistant_response_length": last.completion,
        }
        if len(calls) > 1:
            self._add_turns(row, calls)
        if last.reasoning or any(call.reasoning for call in calls):
            row["reasoning_length"] = [call.reasoning for call in calls]
        if session.subagents and (children := self._children(session, kept)):
            row["subagents"] = children
        return row

    def _add_turns(self, row: dict[str, Any], calls: Sequence[Call]) -> None:
        turns = [self._turn(before, after) for before, after in pairwise(calls)]
        row["assistant_response_length"] = [call.completion for call in calls[:-1]]
        row["tool_call_output_length"] = [new for new, _, _ in turns]
        row["tool_call_latency"] = [wait_s for _, _, wait_s in turns]
        if any(survives is not None for _, survives, _ in turns):
            row["context_reset"] = [None, *(survives for _, survives, _ in turns)]

    def _allowed(self, call: Call) -> bool:
        """Whether a request can be replayed; one without an answer failed."""
        if (
            0 < call.completion <= MAX_TOKENS
            and 0 < call.prompt <= MAX_TOKENS
            and 0 <= call.reasoning <= call.completion
        ):
            return True
        if call.completion < 1:
            self._fidelity.dropped["requests without an answer"] += 1
        elif call.reasoning > call.completion or call.reasoning < 0:
            self._fidelity.dropped["requests with more reasoning than answer"] += 1
        else:
            self._fidelity.dropped["requests whose lengths are not possible"] += 1
        return False

    def _turn(self, before: Call, after: Call) -> tuple[int, int | None, float]:
        """The new tokens, the tokens that survive if not all do, and the wait between two requests."""
        wait_s = self._wait(before, after)
        new = after.prompt - before.prompt - before.visible
        if new >= 0 and not after.compacted:
            return new, None, wait_s
        self._fidelity.compactions += 1
        survives = min(self._survives(before, after), after.prompt, before.prompt + before.visible)
        return after.prompt - survives, survives, wait_s

    def _survives(self, before: Call, after: Call) -> int:
        if after.prompt >= before.prompt and not after.compacted:
            self._fidelity.assumed[
                "a prompt that lost a part of the last answer still begins with the last prompt"
            ] += 1
            return max(before.prompt, after.survives or 0)
        if after.survives is not None:
            return max(after.survives, 0)
        self._fidelity.assumed["nothing survives a compaction"] += 1
        return 0

    def _wait(self, before: Call, after: Call) -> float:
        """From the end of a response to the next request."""
        wait_s, origin = self._known_wait(before, after)
        if wait_s < 0:
            wait_s = 0.0
            self._fidelity.assumed["a request that overlaps the one before it waits for nothing"] += 1
        if wait_s > self._options.cap_wait_s:
            wait_s = self._options.cap_wait_s
            self._fidelity.waits_capped += 1
        self._fidelity.waits[origin] += 1
        return round(wait_s, 3)

    def _known_wait(self, before: Call, after: Call) -> tuple[float, str]:
        if after.wait_s is not None:
            return after.wait_s, "stated by the source"
        if after.start_s is not None and before.end_s is not None:
            return after.start_s - before.end_s, "from the end of an answer to the next request"
        if after.start_s is not None and before.start_s is not None:
            speed = self._options.answer_tok_s
            answer_s = before.completion / speed
            wait_s = max(after.start_s - before.start_s - answer_s, 0.0)
            return wait_s, f"from the starts alone, less an answer at an assumed {speed:g} tok/s"
        low, high = DRAWN_RANGE
        wait_s = min(max(DRAWN_WAIT.draw(self._rng), low), high)
        named = f"log-normal with median {DRAWN_WAIT.median} s, sigma {DRAWN_WAIT.sigma}"
        return wait_s, f"drawn, since the source has none: {named}, from {low} to {high} s, seed {self._options.seed}"

    def _children(self, session: Session, kept: Sequence[int]) -> list[dict[str, Any]]:
        """The sub-agents of a session, each after the last kept turn that is not after its own."""
        rows = []
        for after_call, child in session.subagents:
            turn = sum(at <= after_call for at in kept) - 1
            if not 0 <= turn < len(kept) - 1:
                self._fidelity.dropped["sub-agents that no later turn of their parent waits for"] += 1
                continue
            row = self._row(child)
            if row is None:
                self._fidelity.dropped["sub-agents without a request that can be replayed"] += 1
                continue
            self._fidelity.subagents += 1
            rows.append({"after_turn": turn, "trace": row})
        return rows
