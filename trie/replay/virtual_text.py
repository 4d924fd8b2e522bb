"""What a session says in virtual time: how many tokens the server counts, and which text each of them belongs to."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from trie.config import RunConfig
from trie.sim.virtual import Prompt
from trie.workload.session_tree import TreeSession
from trie.workload.trace import PlannedRequest


class Bos(NamedTuple):
    """Tokens that are taken off the first text of a conversation, and those that the server puts in front of it."""

    taken: int
    added: int


def bos_of(config: RunConfig) -> Bos:
    """As the settings say; None there: what the model adds, where that is verified."""
    added, taken = int(config.sim.add_bos), config.endpoint.bos_tokens
    return Bos((added if config.prompts.calibrate else 0) if taken is None else taken, added)


class VirtualText:
    """The text of a session, which goes on or is cut; what comes behind a cut is another text to a cache."""

    def __init__(self, session: TreeSession, bos: Bos) -> None:
        self._session, self._bos = session, bos
        self._tokens = 0
        self._questions: list[int] = []  # where each question of the conversation begins
        self._heads: tuple[tuple[Hashable, int], ...] = ()  # texts and their ends, as the prompt has them
        self._cuts = 0

    def ask(self, plan: PlannedRequest) -> None:
        """Append what a request asks."""
        if plan.cut is None:
            self._questions.append(self._tokens)
        else:
            self._cut(*plan.cut)
        new, taken, added = plan.text_tokens, *self._bos
        self._tokens += max(new - taken, 1) + added if (taken or added) and not self._tokens else new
        if plan.turn == 0 and plan.shared_tokens > taken:
            end = min(plan.shared_tokens - taken + added, self._tokens)
            self._heads = ((("shared", self._session.trace.shared_prefix_id), end),)

    def answered(self, tokens: int) -> None:
        """Append what goes back of an answer."""
        self._tokens += tokens

    def prompt(self, *, recited: bool) -> Prompt:
        """All of it; `recited`: the next prompt will not begin with this one and the answer to it."""
        number = self._session.session_id
        text = (number, self._cuts) if self._cuts else number
        return Prompt(text, self._tokens, self._heads, recited)

    def _cut(self, exchanges: int, tokens: int) -> None:
        """So many questions and answers are left, and so many tokens of the question behind them."""
        if not exchanges:
            tokens = tokens - self._bos.taken + self._bos.added if tokens > self._bos.taken else 0
        number, end = self._session.session_id, self._questions[exchanges] + tokens
        text = (number, self._cuts) if self._cuts else number
        begins = (0, *(place for _, place in self._heads))
        texts = zip((*self._heads, (text, end)), begins, strict=True)
        self._heads = tuple((name, min(place, end)) for (name, place), begin in texts if begin < end)
        self._tokens = end
        self._cuts += 1
        del self._questions[exchanges + 1 :]
