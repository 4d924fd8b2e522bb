"""Fuzz target: any bytes as the body of an answer, through the SSE decoder, the usage parser and the row.

    python tests/fuzz/fuzz_answers.py CORPUS_FOLDER -max_total_time=60

Needs `pip install -e '.[fuzz]'`. A crash leaves its input as crash-* in the current folder and exits with a code
other than 0; `test_fuzz.py` runs it bounded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["trie.endpoint", "trie.one_line"]):
    from trie.endpoint import response, sse
    from trie.endpoint.exchange import Exchange
    from trie.endpoint.json_text import loads
    from trie.endpoint.request import Request, fill
    from trie.endpoint.request_body import Chat, Ids, Text
    from trie.endpoint.token_ids import IdAnswer

from helpers.rows import planned_row

from trie.storage.record import arrow_schema

NAMES = arrow_schema().names


def one_by_one(body: bytes, answer: response.Answer) -> response.Answer:
    """The same answer, decoded the plain way: an event at a time."""
    before = 0
    for part in sse.read(body):
        if isinstance(part, sse.Aside):
            answer.events([], [], [part])
            continue
        assert before < part.end <= len(body)
        before = part.end
        answer.event(*part)
    return answer


def compare(one: response.Answer, other: response.Answer) -> None:
    for name in (
        "text",
        "ids",
        "tool_calls",
        "first_chunk_tokens",
        "token_ends",
        "token_sizes",
        "hidden_tokens",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "finish_reason",
        "done",
    ):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.error is None) == (other.error is None)
    assert one.error is None or other.error is None or one.error[0] == other.error[0]


def goes_back(answer: response.Answer) -> None:
    """Whatever was said, the next request is JSON."""
    text = Text()
    text.answered(answer)
    loads(b'"%b"' % b"".join(text.parts))
    for chat in (Chat(), Chat(reasoning=True)):
        chat.answered(answer)
        chat.ask((b" a",))
        loads(b"[%b]" % b"".join(chat.parts))
    ids = Ids()
    ids.ask((b",1",))
    ids.answered(answer)
    loads(b"[%b]" % b"".join(ids.parts))


def one_input(data: bytes) -> None:
    """The first byte says how the rest is read; whatever it holds, the row has what a row may have."""
    how, body = data[0] if data else 0, data[1:]
    stream, kind = how < 0x80, IdAnswer if how & 0x40 else response.Answer
    answer = kind()
    if stream:
        for batch in sse.batches(body):
            answer.events(*batch)
        compare(answer, one_by_one(body, kind()))
    else:
        answer.plain(body)
    failure = answer.failure(stream=stream)
    assert failure is None or (failure[0].isidentifier() and isinstance(failure[1], str))
    for count in (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens):
        assert count is None or (type(count) is int and 0 <= count < 1 << 53)
    goes_back(answer)
    exchange = Exchange(sent=1.0, headers=1.0, end=3.0, status=200, pieces=[body])
    exchange.read_at.extend((1.0, 2.0))
    exchange.read_size.extend((len(body) // 2, len(body)))
    request = Request(b"", b"", 0.0, exchange=exchange, answer=answer, began=1.0, attempts=1, failure=failure)
    found = planned_row(0, 0, 0)
    fill(found, request, 0.0)
    for name in NAMES:
        value = getattr(found, name)
        assert not isinstance(value, str) or (value.isprintable() and len(value) <= 300), name


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
