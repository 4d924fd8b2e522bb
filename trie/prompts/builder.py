"""Where a run's prompts come from: the word list or a tokenizer, and the texts of a session out of either."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from trie.config import PromptForm, RunConfig
from trie.errors import PromptError
from trie.prompts import tokenizers
from trie.prompts.exact_text import ExactText, FittedText, Pieces, Pool
from trie.prompts.questions import question_texts
from trie.prompts.vocabulary import ENOUGH, Vocabulary, bundled
from trie.workload.beginning import Beginning, requests_from
from trie.workload.session_tree import TreeSession, session_tree
from trie.workload.trace import PlannedRequest, Trace

WORDS = "words"  # as tokenizer_model: the word list whatever the model
CHECKED = (16, 64, 1024)  # tokens of the texts that a tokenizer is asked to count
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a run; safe to use from one worker thread."""

    source: Literal["words", "tokenizer", "none"]
    name: str
    fingerprint: str
    maker: ExactText
    adds_bos: int | None = None  # tokens that the tokenizer puts before a text; None: unknown
    note: str | None = None  # for people: why the word list stands in for a tokenizer
    form: PromptForm = PromptForm.text
    in_text: Prompts | None = None  # of prompts in token ids: the same tokens as text, for servers that take no ids

    def text(self, tokens: int, key: Hashable) -> bytes:
        """One text of exactly `tokens` tokens."""
        return b"".join(self.maker.texts([tokens], key)[0])

    def of_session(
        self,
        trace: Trace,
        session_id: int,
        *,
        bos_tokens: int = 0,
        answers: bool = False,
        reasoning_back: bool = False,
        begins: Beginning | None = None,
    ) -> SessionPrompts:
        """All texts of one session and its sub-agents.

        Args:
            trace: that the session replays.
            session_id: the same texts for the same one.
            bos_tokens: that the server adds; they are taken off the first prompt.
            answers: with texts that stand for the server's answers.
            reasoning_back: the reasoning of an answer goes back with the answer.
            begins: inside the trace; then there are texts for the answers until there.
        """

        def of_tree(session: TreeSession, begins: Beginning | None = None) -> SessionPrompts:
            plans = tuple(session.trace.requests(reasoning_back=reasoning_back))
            lengths = [plan.answer_tokens for plan in plans]
            if not answers:
                lengths = lengths[: begins.turn + 1] if begins is not None else []
            return SessionPrompts(
                session,
                plans,
                question_texts(self.maker, session, plans, bos_tokens),
                self.maker.texts(lengths, ("answers", session.session_id)),
                {turn: tuple(map(of_tree, session.after(turn))) for turn, _ in session.subagents},
                begins,
            )

        return of_tree(session_tree(trace, session_id), begins)


def load(config: RunConfig, model: str, seed: int) -> Prompts:
    """The prompts for a run against `model`.

    A named tokenizer is used or refused. Without one, the model's own is used when the model is a folder or a hub id
    and can be loaded; otherwise the word list, whose lengths are then verified on the server.

    Raises:
        PromptError: when a named tokenizer can't be loaded or can't make exact lengths, or token ids are wanted
            without a tokenizer that tells them.
    """
    prompts = _load_prompts(config, model, seed)
    if config.endpoint.prompt_form is PromptForm.token_ids and prompts.form is not PromptForm.token_ids:
        why = f": {prompts.note}" if prompts.note else ", such as tokenizer_model=FOLDER_OR_HUB_ID"
        raise PromptError(f"endpoint.prompt_form=token_ids: needs the model's own tokenizer{why}")
    return prompts


def _load_prompts(config: RunConfig, model: str, seed: int) -> Prompts:
    named = config.tokenizer_model
    if named == WORDS:
        return _from_vocabulary("words", bundled(), config, seed)
    if named is not None:
        return _from_tokenizer(_load(named, config), named, config, seed)
    if tokenizers.is_folder(model) or HUB_ID.fullmatch(model):
        try:
            return _from_tokenizer(_load(model, config), model, config, seed)
        except PromptError as error:
            return _from_vocabulary("words", bundled(), config, seed, note=str(error))
    return _from_vocabulary("words", bundled(), config, seed)


def _load(name: str, config: RunConfig) -> tokenizers.Tokenizer:
    return tokenizers.load(name, trust_remote_code=config.prompts.trust_remote_code)


def _from_tokenizer(tokenizer: tokenizers.Tokenizer, name: str, config: RunConfig, seed: int) -> Prompts:
    """Prompts of a tokenizer's own pieces, fitted ones where it has too few.

    Raises:
        PromptError: when the tokenizer does not count its own prompts as they were made.
    """
    vocabulary = tokenizer.vocabulary()
    if len(vocabulary.pieces) >= ENOUGH:
        prompts = _from_vocabulary("tokenizer", vocabulary, config, seed)
    else:
        fitted = FittedText(tokenizer.count_behind, tokenizer.words(), seed=seed)
        prompts = Prompts("tokenizer", f"{name} (fitted)", vocabulary.fingerprint, fitted)
    added = {tokenizer.count_request(prompts.text(n, ("check", n)).decode()) - n for n in CHECKED}
    if len(added) > 1:
        raise PromptError(f"tokenizer_model={name}: its own count of its prompts is not theirs; use another, or words")
    prompts = replace(prompts, adds_bos=max(added.pop(), 0))
    if config.endpoint.prompt_form is PromptForm.text:
        return prompts
    tokens = vocabulary if len(vocabulary.pieces) >= ENOUGH else tokenizer.every_token()
    ids = _from_vocabulary("tokenizer", tokens.as_ids(), config, seed)
    return replace(ids, adds_bos=0, form=PromptForm.token_ids, in_text=prompts)


def _from_vocabulary(
    source: Literal["words", "tokenizer"],
    vocabulary: Vocabulary,
    config: RunConfig,
    seed: int,
    *,
    note: str | None = None,
) -> Prompts:
    pool = Pool(vocabulary, seed=seed, size=config.prompts.pool_tokens, zipf=config.prompts.zipf)
    return Prompts(source, vocabulary.name, vocabulary.fingerprint, pool, note=note)


@dataclass(frozen=True, slots=True)
class SessionPrompts:
    """The text of each request of a session.

    `parts[i]` are pieces whose concatenation is UTF-8 that needs no JSON escaping: the input prompt for i = 0, the
    output of tool i - 1 after that; behind a reset of the context also what is left of the question before it. Every
    part begins with a space, the joint at which tokens never merge; in token ids, with a comma. `answers[i]`, where
    there are any, goes back in the place of the server's answer i.
    """

    session: TreeSession
    plans: tuple[PlannedRequest, ...]  # of the whole trace
    parts: tuple[Pieces, ...]
    answers: tuple[Pieces, ...] = ()
    subagents: Mapping[int, tuple[SessionPrompts, ...]] = field(default_factory=dict)  # by the turn behind which
    begins: Beginning | None = None  # inside the trace; None: with its first request
    due_s: float | None = None  # since the run began; None: when a slot is free

    @property
    def trace(self) -> Trace:
        """What is replayed."""
        return self.session.trace

    @property
    def session_id(self) -> int:
        """Of the session in its run."""
        return self.session.session_id

    def requests(self) -> Iterator[PlannedRequest]:
        """The session's requests, in order."""
        return requests_from(self.plans, self.begins)
