"""Which conversation a request goes on, and what of it is written."""

from __future__ import annotations

from typing import Any

import orjson

from trie.recording.prompt_marks import Conversations, marks_of
from trie.recording.sessions import Recording
from trie.workload.importers.session import Options

KEY = b"k" * 32
SYSTEM = {"role": "system", "content": "You are an agent. " * 40}


def chat(*texts: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [SYSTEM, *({"role": roles[at % 2], "content": text} for at, text in enumerate(texts))], **more}


def numbers(*bodies: dict[str, Any]) -> list[int]:
    """The conversation of each prompt in turn."""
    conversations = Conversations()
    return [conversations.number(marks) for body in bodies if (marks := marks_of(body, KEY)) is not None]


def test_a_chat_goes_on_where_its_last_prompt_is_the_beginning():
    assert numbers(chat("a"), chat("b"), chat("a", "x", "c"), chat("b", "y", "d"), chat("a", "x", "c", "z", "e")) == [
        0,
        1,
        0,
        1,
        0,
    ]


def test_the_same_prompt_again_and_another_model_are_other_conversations():
    assert numbers(chat("a"), chat("a"), chat("a", "x", "b"), chat("a", "x", "b", model="M")) == [0, 1, 1, 2]


def test_hints_for_caches_and_reasoning_make_no_other_message():
    first = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]}]}
    again = [{"role": "user", "content": [{"type": "text", "text": "a"}], "reasoning_content": "hm"}]
    answer = {"role": "assistant", "content": "b"}
    assert numbers(first, {"messages": [*again, answer, {"role": "user", "content": "c"}]}) == [0, 0]


def test_texts_and_token_ids_go_on_by_their_blocks():
    text, ids = "a word " * 60, list(range(200))
    assert numbers({"prompt": text}, {"prompt": text + "more"}, {"prompt": "b" + text}) == [0, 0, 1]
    assert numbers({"prompt": ids}, {"prompt": [*ids, 7]}, {"prompt": [ids[:150]]}, {"prompt": ids[1:]}) == [0, 0, 1, 2]


def test_rows_hold_lengths_and_waits_and_nothing_else():
    recording = Recording(Options())

    def note(
        body: dict[str, Any], at: tuple[float, float], prompt: int, completion: int, session: str | None = None
    ) -> None:
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        recording.add(body, usage, session=session, start_s=at[0], end_s=at[1])

    note(chat("a secret"), (10.0, 12.0), 100, 20)
    note(chat("of somebody"), (11.0, 11.5), 60, 5, session="lane-7")
    note(chat("a secret", "x", "c"), (12.75, 13.0), 150, 8)
    note(chat("not a continuation"), (14.0, 15.0), 90, 6, session="lane-7")
    content, fidelity = recording.snapshot().rows()
    rows = [orjson.loads(line) for line in content.splitlines()]
    assert rows == [
        {
            "num_turns": 1,
            "input_prompt_length": 100,
            "assistant_response_length": [20],
            "tool_call_output_length": [30],
            "tool_call_latency": [0.75],
            "final_assistant_response_length": 8,
            "source": "record",
            "start_offset_s": 0.0,
        },
        {
            "num_turns": 1,
            "input_prompt_length": 60,
            "assistant_response_length": [5],
            "tool_call_output_length": [25],
            "tool_call_latency": [2.5],
            "final_assistant_response_length": 6,
            "source": "record",
            "start_offset_s": 1.0,
        },
    ]
    assert (fidelity.rows, fidelity.traces) == (4, 2)
    for text in (b"secret", b"somebody", b"lane", b"agent"):
        assert text not in content
