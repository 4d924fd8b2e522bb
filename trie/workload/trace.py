"""A trace: the lengths and waits of one agent's work, and the requests that replaying it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Cut(NamedTuple):
    """What stays of a conversation where its context is reset: its head, up to a place in one of our own texts."""

    exchanges: int  # so many questions and answers stay whole
    question_tokens: int  # and so many tokens of the question behind them


class PlannedRequest(NamedTuple):
    """What one request of a trace will ask, by the trace's own accounting."""

    turn: int  # 0 for the first request
    is_final: bool
    wait_s: float  # tool latency between the end of the last response and this request
    new_prompt_tokens: int  # input prompt, or the tool output just appended; and what a cache can't know of the rest
    cached_prompt_tokens: int  # the prompt's head that earlier requests had: their prompts and completions
    completion_tokens: int  # asked for, exactly
    resent_tokens: int = 0  # of the new ones, those of an answer that goes back without its reasoning
    dropped_tokens: int = 0  # reasoning of this answer that no later prompt holds
    lost_tokens: int = 0  # of the prompt and answer before it, those that no longer stand at its head
    lost_turns: int = 0  # of the trace that the conversation no longer holds
    cut: Cut | None = None  # of the conversation, before this request
    shared_tokens: int = 0  # of a first prompt: the prefix that it shares with other traces
    waits_for: tuple[Trace, ...] = ()  # sub-agents that work meanwhile, in the place of a wait

    @property
    def prompt_tokens(self) -> int:
        """All of the prompt."""
        return self.new_prompt_tokens + self.cached_prompt_tokens

    @property
    def text_tokens(self) -> int:
        """What comes from outside: the input prompt, or a tool's output."""
        return self.prompt_tokens if self.turn == 0 else self.new_prompt_tokens - self.resent_tokens

    @property
    def answer_tokens(self) -> int:
        """Of the completion, what the next prompt holds."""
        return self.completion_tokens - self.dropped_tokens


class Subagent(NamedTuple):
    """A trace that another one starts when the answer of one of its turns has ended, and waits for."""

    after_turn: int
    trace: Trace


@dataclass(frozen=True, slots=True)
class Trace:
    """One row of a workload; lengths are tokens, latencies are seconds."""

    input_prompt_length: int
    assistant_response_length: tuple[int, ...]
    tool_call_output_length: tuple[int, ...]
    tool_call_latency: tuple[float, ...]
    final_assistant_response_length: int
    row: int = 0  # place in the workload, from 0
    shared_prefix_id: str | int | None = None
    shared_prefix_length: int = 0  # of the input prompt: the tokens that all traces with this id begin with
    reasoning_length: tuple[int, ...] = ()  # of each answer, the final one included; empty: none
    context_reset: tuple[int | None, ...] = ()  # tokens that survive before each request, None: all; empty: all
    subagents: tuple[Subagent, ...] = ()
    start_offset_s: float | None = None  # when it began, for open-loop schedules
    name: str | None = None
    source: str | None = None
    weight: float | None = None

    @property
    def num_turns(self) -> int:
        return len(self.assistant_response_length)

    def requests(self, *, reasoning_back: bool = False) -> Iterator[PlannedRequest]:
        """The trace's num_turns + 1 requests, in order; those of its sub-agents are in `waits_for`.

        `reasoning_back`: the reasoning of an answer goes back to the server with the answer.
        """
        completions = (*self.assistant_response_length, self.final_assistant_response_length)
        texts = (self.input_prompt_length, *self.tool_call_output_length)
        waits = (0.0, *self.tool_call_latency)
        last = self.num_turns
        if not (self.context_reset or self.reasoning_length or self.subagents or self.shared_prefix_length):
            context = 0
            for turn, (wait_s, text, completion) in enumerate(zip(waits, texts, completions, strict=True)):
                yield PlannedRequest(turn, turn == last, wait_s, text, context, completion)
                context += text + completion
            return
        dropped = (0,) * (last + 1) if reasoning_back or not self.reasoning_length else self.reasoning_length
        yield from self._conversation(zip(waits, texts, completions, dropped, strict=True))

    def _conversation(self, turns: Iterator[tuple[float, int, int, int]]) -> Iterator[PlannedRequest]:
        """The requests of a conversation that is not the plain one; `turns` as (wait, text, completion, dropped)."""
        said: list[tuple[int, int]] = []  # tokens of each question and of what goes back of its answer
        context = common = 0  # tokens said, and of them the head that the server has computed as it is
        computed = 0  # by the server, of the request before
        for turn, (wait_s, output, completion, dropped) in enumerate(turns):
            cut, text = None, output
            survives = self.context_reset[turn] if self.context_reset else None
            if survives is not None and survives < context:
                cut, kept = _cut(said, survives)
                text += survives - kept
                context, common = kept, min(common, kept)
                del said[cut.exchanges :]
            waits_for = tuple(child.trace for child in self.subagents if child.after_turn == turn - 1)
            prompt = context + text
            yield PlannedRequest(
                turn,
                turn == self.num_turns,
                0.0 if waits_for else wait_s,
                prompt - common,
                common,
                completion,
                resent_tokens=context - common,
                dropped_tokens=dropped,
                lost_tokens=computed - common,
                lost_turns=turn - len(said),
                cut=cut,
                shared_tokens=self.shared_prefix_length if turn == 0 else 0,
                waits_for=waits_for,
            )
            said.append((text if cut is None else text + cut.question_tokens, completion - dropped))
            computed = prompt + completion
            context = computed - dropped
            common = prompt if dropped else context

    @property
    def context_tokens(self) -> int:
        """Prompt and completion of the longest request: what the server's context window must hold."""
        return self.longest_request_tokens()

    def longest_request_tokens(self, *, reasoning_back: bool = False) -> int:
        """The same; `reasoning_back` as `requests` has it."""
        if self.context_reset or self.reasoning_length or self.subagents:
            plans = self.requests(reasoning_back=reasoning_back)
            inner = (child.trace.longest_request_tokens(reasoning_back=reasoning_back) for child in self.subagents)
            return max(*(plan.prompt_tokens + plan.completion_tokens for plan in plans), *inner, 0)
        tools, answers = sum(self.tool_call_output_length), sum(self.assistant_response_length)
        return self.input_prompt_length + tools + answers + self.final_assistant_response_length


def _cut(said: Sequence[tuple[int, int]], survives: int) -> tuple[Cut, int]:
    """Where a conversation is cut of which so many tokens survive, and how many stay.

    Only the server knows where the tokens of its answers end, so that a cut inside an answer falls in front of it.
    """
    begins = 0
    for number, (question, answer) in enumerate(said):
        if survives < begins + question + answer:
            stays = min(survives - begins, question)
            return Cut(number, stays), begins + stays
        begins += question + answer
    raise AssertionError("all survives")


@dataclass(frozen=True, slots=True)
class Workload:
    """Traces with the facts that a report states about them."""

    name: str
    traces: Sequence[Trace]
    source: str  # where they came from, for people: a path, a hub file, "synthetic stand-in"
    sha256: str  # of the file's bytes, or of the JSON lines that a stand-in would be written as
    synthetic: bool = False  # drawn from distributions: never to be taken for the recorded traces
    imported: Mapping[str, Any] | None = None  # the report of the import that made its file
    skipped: int = 0  # traces left out, since the model's context can't hold them
