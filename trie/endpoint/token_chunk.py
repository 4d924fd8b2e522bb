"""Chunks that bring one token and nothing else, as nearly all do: read at a fraction of the cost of any other.

Theory of operation. An engine writes the chunks of an answer with the same bytes around each text. What stands before
and behind the text of one chunk, with a mark in the text's place, is parsed and read as any chunk is; when the mark
comes out as its text, then so does whatever JSON string stands there in its neighbours. Neighbours that are the same
around their texts are cut apart in one go, and nothing of them is parsed. One byte that differs, and each chunk is
read for itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from trie.endpoint.answer_text import REASONING

BESIDE = ("tool_calls", *REASONING[:4])  # what a delta may bring beside its content
FEW = 8  # chunks: fewer are read one by one
AT_EDGES = 4  # chunks at the beginning and the end of a stretch that may be others: roles, reasons, usage
FIELDS = (b'"text":"', b'"content":"')
MARK = "mark"
NOT_PLAIN = re.compile(rb'["\\\x00-\x09\x0b-\x1f]')  # in a JSON string; 0x0a stands between two texts
THOUGHTS = ("reasoning_content", "reasoning")  # as engines call it


def text_alone(value: Any) -> str | None:
    """The text of a chunk that brings one and nothing else to note, as nearly all do; None for any other chunk."""
    try:
        (choice,) = value["choices"]
        if choice["finish_reason"] is not None or value.get("usage") or "error" in value or "usage" in choice:
            return None
        if "text" in choice:
            text = choice["text"]
        elif len(delta := choice["delta"]) == 1:
            text = delta["content"] or None
        else:
            text = None if any(map(delta.get, BESIDE)) else delta["content"] or None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return text if text.__class__ is str else None


def thought_alone(value: Any) -> str | None:
    """The same of a chunk that brings reasoning alone."""
    try:
        (choice,) = value["choices"]
        if choice["finish_reason"] is not None or value.get("usage") or "error" in value or "usage" in choice:
            return None
        (text,) = filter(None, choice["delta"].values())
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return text if text.__class__ is str and text in map(choice["delta"].get, THOUGHTS) else None


class Run(NamedTuple):
    """Neighbouring chunks, each of which brings a text alone."""

    start: int  # place of the first among the chunks that were looked at
    texts: list[str]


def run_of_texts(data: Sequence[bytes]) -> Run | None:
    """All chunks that are the same around their texts, but for some at the edges; None where others are among them."""
    around = _around(data[len(data) // 2]) if len(data) >= FEW else None
    if around is None:
        return None
    before, after = around
    edges = range(AT_EDGES)
    alike = [chunk.startswith(before) and chunk.endswith(after) for chunk in (*data[:AT_EDGES], *data[-AT_EDGES:])]
    start = next((at for at in edges if alike[at]), None)
    stop = next((len(data) - at for at in edges if alike[-1 - at]), None)
    if start is None or stop is None:
        return None
    texts = _cut(data[start:stop], before, after)
    return None if texts is None else Run(start, texts)


def _around(chunk: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and behind the text of a chunk that brings one alone."""
    for field in FIELDS:
        if (at := chunk.find(field)) >= 0:
            before = chunk[: at + len(field)]
            after = chunk[chunk.find(b'"', len(before)) :]
            try:
                marked = orjson.loads(before + MARK.encode() + after)
            except orjson.JSONDecodeError:
                return None
            return (before, after) if text_alone(marked) == MARK else None
    return None


def _cut(chunks: Sequence[bytes], before: bytes, after: bytes) -> list[str] | None:
    """The texts of chunks that are the same around them; None for others, and for texts that JSON writes otherwise."""
    inner = [chunk.removeprefix(before).removesuffix(after) for chunk in chunks]
    plain = b"\n".join(inner)
    size = sum(map(len, chunks)) - len(chunks) * (len(before) + len(after) - 1) - 1  # both are off every chunk
    if len(plain) != size or NOT_PLAIN.search(plain) is not None:
        return None
    try:
        texts = plain.decode().split("\n")
    except UnicodeDecodeError:
        return None
    return texts if len(texts) == len(chunks) and all(texts) else None
