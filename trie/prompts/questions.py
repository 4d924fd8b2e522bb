"""The texts that the requests of a session ask.

Without resets of the context a question is the request's own text, and each text has a place of its own in the pool.
Behind a reset, the beginning of an earlier question that is left and the request's own text are one question. So each
text is made in stretches that end where any question needs its beginning. The first tokens of a shared prefix are the
same whoever asks for them, and however many.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from trie.prompts.exact_text import ExactText, Pieces
from trie.workload.session_tree import TreeSession
from trie.workload.trace import PlannedRequest

PREFIX_STRETCH = 256  # tokens of a shared prefix that are made at a time


class Beginning(NamedTuple):
    """The first tokens of a text."""

    text: int  # number of the request in which it is new
    tokens: int


def question_texts(
    maker: ExactText, session: TreeSession, plans: Sequence[PlannedRequest], bos_tokens: int
) -> tuple[Pieces, ...]:
    """What each request of a session asks, less the tokens that the server puts in front of a conversation."""
    questions, heads = _questions(plans, bos_tokens)

    def length(part: Beginning) -> int:
        return max(part.tokens - bos_tokens, 1) if part.text in heads else part.tokens

    shared = min(max(plans[0].shared_tokens - bos_tokens, 0), length(questions[0][0]))
    ends: list[set[int]] = [set() for _ in plans]
    for part in chain.from_iterable(questions):
        ends[part.text].add(length(part))
    own = [sorted(end for end in ends[0] if end > shared), *map(sorted, ends[1:])]
    begins = [shared, *[0] * (len(plans) - 1)]
    spans = [(begin, *places) for begin, places in zip(begins, own, strict=True)]
    lengths = [end - start for span in spans for start, end in pairwise(span)]
    made = iter(maker.texts(lengths, session.session_id))
    stretches = [[(end, next(made)) for end in places] for places in own]

    def text(part: Beginning) -> Iterable[bytes | memoryview]:
        tokens = length(part)
        if shared and part.text == 0:
            yield from shared_text(maker, session.trace.shared_prefix_id, min(tokens, shared))
        for end, pieces in stretches[part.text]:
            if end <= tokens:
                yield from pieces

    return tuple(tuple(chain.from_iterable(map(text, question))) for question in questions)


def _questions(plans: Iterable[PlannedRequest], bos_tokens: int) -> tuple[list[list[Beginning]], set[int]]:
    """The question of each request, and the texts that begin a conversation: `bos_tokens` are a part of those."""
    said: list[list[Beginning]] = []
    questions, heads = [], set[int]()
    for plan in plans:
        question = [Beginning(plan.turn, plan.text_tokens)]
        if plan.cut is not None:
            exchanges, tokens = plan.cut
            if exchanges or tokens > bos_tokens:
                question = [*_first(said[exchanges], tokens), *question]
            del said[exchanges:]
        if not said and question[0].text == plan.turn:
            heads.add(plan.turn)
        said.append(question)
        questions.append(question)
    return questions, heads


def _first(question: Iterable[Beginning], tokens: int) -> Iterable[Beginning]:
    """The first tokens of a question."""
    for part in question:
        if tokens > 0:
            yield part._replace(tokens=min(part.tokens, tokens))
        tokens -= part.tokens


def shared_text(maker: ExactText, prefix: Hashable, tokens: int) -> Iterable[bytes | memoryview]:
    """The first tokens of a shared prefix."""
    whole, rest = divmod(tokens, PREFIX_STRETCH)
    lengths = [PREFIX_STRETCH] * whole + ([rest] if rest else [])
    return chain.from_iterable(maker.texts(lengths, ("shared prefix", prefix)))
