"""Scripts ahead: in order, cycled, refilled, and an error in the making reaches who waits."""

from __future__ import annotations

import pytest

from trie.errors import PromptError
from trie.prompts.builder import Script
from trie.replay.prompt_queue import AT_ONCE, ScriptsAhead
from trie.workload.trace import Trace, parse_trace

ROW = {
    "num_turns": 0,
    "input_prompt_length": 5,
    "assistant_response_length": [],
    "tool_call_output_length": [],
    "tool_call_latency": [],
    "final_assistant_response_length": 2,
}
TRACES = [parse_trace(ROW, where="row", index=index) for index in range(3)]


@pytest.mark.parametrize("ahead", [1, 9, 100])
async def test_every_trace_in_turn_each_with_its_number(ahead: int) -> None:
    async with ScriptsAhead(TRACES, lambda trace, number: Script(trace, number, ()), ahead=ahead) as scripts:
        got = [await scripts.next() for _ in range(3 * AT_ONCE + 7)]
    assert [script.session_id for script in got if script] == list(range(len(got)))
    assert [script.trace.row for script in got if script] == [number % 3 for number in range(len(got))]


@pytest.mark.parametrize("most", [1, 2, 20, AT_ONCE, 3 * AT_ONCE])
async def test_no_more_than_asked_for(most: int) -> None:
    make = lambda trace, number: Script(trace, number, ())  # noqa: E731
    async with ScriptsAhead(TRACES, make, ahead=9, most=most) as scripts:
        got = [await scripts.next() for _ in range(most + 2)]
    assert [None if script is None else script.session_id for script in got] == [*range(most), None, None]


async def test_a_script_that_can_not_be_made_is_an_error() -> None:
    def make(trace: Trace, number: int) -> Script:
        if number == 4:
            raise PromptError("no text")
        return Script(trace, number, ())

    async def ten() -> None:
        async with ScriptsAhead(TRACES, make, ahead=2) as scripts:
            for _ in range(10):
                await scripts.next()

    with pytest.raises(PromptError, match="no text"):
        await ten()
