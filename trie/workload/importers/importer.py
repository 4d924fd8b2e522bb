"""What a format's module is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trie.errors import WorkloadError
from trie.workload.importers import source
from trie.workload.importers.call_store import CallStore
from trie.workload.importers.fidelity import Fidelity
from trie.workload.importers.fields import Fields
from trie.workload.importers.session import Call, Options, Session
from trie.workload.importers.source import Place

Tokens = Callable[[Sequence[str]], list[int]]  # lengths of texts, by the tokenizer that the user names


@dataclass(frozen=True, slots=True)
class Source:
    """A file or a folder to import, what the user says about it, and the report that is being made."""

    path: Path
    options: Options
    fidelity: Fidelity
    tokens: Tokens | None = None

    def objects(self) -> Iterator[tuple[Place, Mapping[str, Any]]]:
        """The JSON objects of all files, with their places."""
        for file in source.files(self.path):
            yield from self.objects_of(file)

    def objects_of(self, file: Path) -> Iterator[tuple[Place, Mapping[str, Any]]]:
        """Those of one file; what is none, such as the torn last line of a log, is counted as dropped."""
        fidelity = self.fidelity
        for place, content in source.documents(file):
            fidelity.rows += 1
            if isinstance(content, dict):
                yield place, content
            else:
                self.drop("rows that are no JSON objects")

    def drop(self, reason: str) -> None:
        """Count what is left out."""
        self.fidelity.dropped[reason] += 1

    def assume(self, sentence: str) -> None:
        """Count what is taken to be so."""
        self.fidelity.assumed[sentence] += 1

    def counter(self) -> Tokens:
        """The user's tokenizer.

        Raises:
            WorkloadError: when none was named.
        """
        if self.tokens is None:
            raise WorkloadError(
                f"{self.path}: {self.fidelity.format} holds texts and no token counts; "
                "--tokenizer NAME (a hub id or a folder) counts them, and no text leaves the source"
            )
        return self.tokens

    def whole_prompts(self, format_name: str) -> bool:
        """Whether later requests state their whole prompt, as the user says.

        Raises:
            WorkloadError: when the user does not say.
        """
        if self.options.input_length is None:
            raise WorkloadError(
                f"{self.path}: in {format_name} the input length of a session's later requests can be the whole prompt "
                "or only its new tokens; say --input-length whole or --input-length new"
            )
        return self.options.input_length == "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """A format: its name, its fields, how it is told from others and how it is read."""

    name: str
    title: str  # what people call it
    recognize: Callable[[Mapping[str, Any]], str | None]  # why a document is of this format, None: it is not
    sessions: Callable[[Source], Iterator[Session]]
    fields: Mapping[str, Fields] = field(default_factory=dict)  # the field map, by kind of row


def call_of(row: Mapping[str, Any], fields: Fields) -> Call | None:
    """The request that a row tells of; None where a length is missing."""
    prompt, completion = fields.prompt.tokens(row), fields.completion.tokens(row)
    if prompt is None or completion is None:
        return None
    reasoning, start, end, wait, survives = fields.reasoning, fields.start, fields.end, fields.wait, fields.survives
    return Call(
        prompt,
        completion,
        (reasoning.names and reasoning.tokens(row)) or 0,
        start.seconds(row) if start.names else None,
        end.seconds(row) if end.names else None,
        wait.seconds(row) if wait.names else None,
        survives.tokens(row) if survives.names else None,
    )


NO_LENGTHS = "rows without an input or an output length"


def by_session(source: Source, fields: Fields) -> Iterator[Session]:
    """Sessions of a format with a request in each row, in the order of their starts."""
    store = CallStore()
    for place, row in source.objects():
        call = call_of(row, fields)
        if call is None:
            source.drop(NO_LENGTHS)
            continue
        key = fields.session.get(row)
        store.add(place if key is None else str(key), call.start_s, call)
    yield from stored(store)


def stored(store: CallStore) -> Iterator[Session]:
    """The sessions of a store."""
    for calls in store.sessions():
        yield Session(calls, start_s=calls[0].start_s)


def has(row: Mapping[str, Any], *names: str) -> bool:
    """Whether a row has all these fields."""
    return all(name in row for name in names)


def cumulated(calls: Sequence[Call]) -> list[Call]:
    """Requests whose prompts state only their new tokens, with their whole prompts."""
    whole: list[Call] = []
    held = 0
    for call in calls:
        held = 0 if call.compacted else held
        whole.append(call._replace(prompt=held + call.prompt))
        held += call.prompt + call.visible
    return whole
