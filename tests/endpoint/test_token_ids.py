"""Answers whose token ids were asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trie.endpoint import sse
from trie.endpoint.token_ids import IdAnswer, without_prompt


def chunk(text: str, ids: list[int] | None, finish: str | None = None, **choice: Any) -> bytes:
    fields = {"index": 0, "text": text, "finish_reason": finish, "token_ids": ids, **choice}
    return json.dumps({"choices": [fields]}, separators=(",", ":")).encode()


def counted(tokens: int) -> bytes:
    return b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":%d}}' % tokens


def read(*events: bytes) -> IdAnswer:
    answer = IdAnswer()
    answer.events([*events, b"[DONE]"], list(range(1, len(events) + 2)))
    return answer


def test_ids_tell_what_each_chunk_bears() -> None:
    answer = read(chunk("", [5]), chunk(" a b", [6, 7]), chunk("", []), chunk("", [8], "length"), counted(4))
    assert answer.ids == [5, 6, 7, 8]
    assert (answer.token_ends, answer.first_chunk_tokens, answer.text) == ([1, 2, 4], 1, " a b")
    assert answer.failure(stream=True) is None


def test_the_first_chunk_may_bring_several() -> None:
    assert read(chunk(" a b c", [5, 6, 7]), chunk(" d", [8], "stop"), counted(4)).first_chunk_tokens == 3


@pytest.mark.parametrize("events", [[chunk(" a", None), chunk(" b", None, "length"), counted(2)],
                                    [chunk(" a", [5]), chunk(" b", None, "length"), counted(2)],
                                    [chunk(" a", ["5"]), chunk(" b", [6], "length"), counted(2)],  # type: ignore[list-item]
                                    [chunk(" a", None), chunk(" b", None, "length")]])  # fmt: skip
def test_a_token_without_its_id_is_a_failure(events: list[bytes]) -> None:
    failure = read(*events).failure(stream=True)
    assert failure is not None
    assert failure[0] == "bad_response"
    assert "token ids came for" in failure[1]


def test_a_plain_answer_has_them_all_at_once() -> None:
    answer = IdAnswer()
    body = b'{"choices":[{"text":" a b","prompt_token_ids":[1,2,3],"token_ids":[5,6]}],"usage":{"completion_tokens":2}}'
    answer.plain(body)
    assert (answer.ids, answer.failure(stream=False)) == ([5, 6], None)


def test_the_prompt_is_cut_out_before_it_is_read() -> None:
    first = chunk(" a", [5], prompt_token_ids=list(range(1000)))
    assert json.loads(without_prompt(first)) == {**json.loads(chunk(" a", [5], prompt_token_ids=[]))}
    assert without_prompt(b'{"prompt_token_ids":null}') == b'{"prompt_token_ids":null}'
    assert without_prompt(b'{"prompt_token_ids":[1,2') == b'{"prompt_token_ids":[1,2'
    event = json.dumps({"text": '"prompt_token_ids":[1]'}, separators=(",", ":")).encode()
    assert without_prompt(event) == event


def test_a_first_event_of_half_a_megabyte_is_one_batch_among_others() -> None:
    """It is cut as regular streams are, and so is what comes behind it."""
    events = [chunk(" a", [5], prompt_token_ids=list(range(100_000))), *[chunk(" b", [6])] * 99, counted(100)]
    body = b"".join(b"data: %b\n\n" % event for event in events)
    stretches = list(sse.batches(body))
    assert [len(data) for data, *_ in stretches] == [1, 100]
    answer = IdAnswer()
    for batch in stretches:
        answer.events(*batch)
    assert (len(answer.ids), len(answer.token_ends), answer.failure(stream=True)) == (100, 100, None)
