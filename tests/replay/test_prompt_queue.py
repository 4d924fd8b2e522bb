"""The prompt queue: in order, cycled, refilled, and an error in the making reaches the slot that waits."""

from __future__ import annotations

import pytest

from trie.errors import PromptError
from trie.prompts.builder import SessionPrompts
from trie.replay.prompt_queue import AT_ONCE, PromptQueue
from trie.replay.session_order import PlannedSession, SessionOrder
from trie.workload.row import parse_trace
from trie.workload.session_tree import session_tree

ROW = {
    "num_turns": 0,
    "input_prompt_length": 5,
    "assistant_response_length": [],
    "tool_call_output_length": [],
    "tool_call_latency": [],
    "final_assistant_response_length": 2,
}
TRACES = [parse_trace(ROW, where="row", index=index) for index in range(3)]


def without_texts(planned: PlannedSession) -> SessionPrompts:
    return SessionPrompts(session_tree(planned.trace, planned.session_id), (), ())


@pytest.mark.parametrize("ahead", [1, 9, 100])
async def test_every_trace_in_turn_each_with_its_number(ahead: int) -> None:
    async with PromptQueue(SessionOrder(TRACES), without_texts, ahead=ahead) as queue:
        sessions = [await queue.next() for _ in range(3 * AT_ONCE + 7)]
    assert [prompts.session_id for prompts in sessions if prompts] == list(range(len(sessions)))
    assert [prompts.trace.row for prompts in sessions if prompts] == [number % 3 for number in range(len(sessions))]


@pytest.mark.parametrize("most", [1, 2, 20, AT_ONCE, 3 * AT_ONCE])
async def test_no_more_than_asked_for(most: int) -> None:
    async with PromptQueue(SessionOrder(TRACES, most=most), without_texts, ahead=9) as queue:
        sessions = [await queue.next() for _ in range(most + 2)]
    assert [None if prompts is None else prompts.session_id for prompts in sessions] == [*range(most), None, None]


async def test_prompts_that_can_not_be_made_are_an_error() -> None:
    def make(planned: PlannedSession) -> SessionPrompts:
        if planned.session_id == 4:
            raise PromptError("no text")
        return without_texts(planned)

    async def ten() -> None:
        async with PromptQueue(SessionOrder(TRACES), make, ahead=2) as queue:
            for _ in range(10):
                await queue.next()

    with pytest.raises(PromptError, match="no text"):
        await ten()
