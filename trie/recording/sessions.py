"""The recording: requests by their lengths and times, sorted into sessions, and the rows that they make."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from trie.endpoint.usage import counts_of
from trie.recording.prompt_marks import Conversations, marks_of, single_answer
from trie.workload.importers.fidelity import Fidelity
from trie.workload.importers.session import Call, Options, Rows, Session

FORMAT = "record"


class Recording:
    """All requests that ended well so far.

    Args:
        options: `cap_wait_s` cuts long waits.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._key = secrets.token_bytes(32)
        self._conversations = Conversations()
        self._calls: dict[int | str, list[Call]] = {}
        self._dropped: dict[str, int] = {}
        self.requests = 0  # that were noted

    def drop(self, reason: str) -> None:
        """Count a request that is not noted."""
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def add(
        self,
        body: Mapping[str, Any],
        usage: Mapping[str, Any] | None,
        *,
        session: str | None,
        start_s: float,
        end_s: float,
    ) -> None:
        """Note a request.

        Args:
            body: as the client sent it; nothing of its texts is kept.
            usage: of its answer.
            session: what the client says of its session; None: the prompt tells.
            start_s: when the client had sent it, on a clock of the recording.
            end_s: when the answer had ended.
        """
        prompt = marks_of(body, self._key)
        if prompt is None or not single_answer(body):
            self.drop("requests of several prompts or answers")
            return
        counts = counts_of(usage or {})
        if counts.prompt is None or counts.completion is None:
            self.drop("answers without usage")
            return
        key = self._conversations.number(prompt) if session is None else session
        survives = counts.cached
        call = Call(counts.prompt, counts.completion, counts.reasoning or 0, start_s, end_s, survives=survives)
        self._calls.setdefault(key, []).append(call)
        self.requests += 1

    def snapshot(self) -> Snapshot:
        """What there is now, apart from what still comes."""
        dropped = dict(self._dropped)
        return Snapshot([list(calls) for calls in self._calls.values()], dropped, self.requests, self._options)


class Snapshot(NamedTuple):
    """A recording at an instant."""

    calls: list[list[Call]]  # of each session
    dropped: Mapping[str, int]
    requests: int
    options: Options

    def rows(self) -> tuple[bytes, Fidelity]:
        """The sessions as JSON lines in the order of their starts, and what there is to say of them."""
        fidelity = Fidelity(FORMAT, "recorded by trie record", rows=self.requests + sum(self.dropped.values()))
        fidelity.dropped.update(self.dropped)
        maker = Rows(self.options, fidelity)
        in_order = [sorted(calls, key=lambda call: call.start_s or 0.0) for calls in self.calls]
        sessions = sorted((Session(calls, start_s=calls[0].start_s) for calls in in_order), key=_start)
        first = _start(sessions[0]) if sessions else 0.0
        lines = []
        for session in sessions:
            session.start_s = round(_start(session) - first, 3)
            if (row := maker.row(session)) is not None:
                lines.append(orjson.dumps(row) + b"\n")
        return b"".join(lines), fidelity


def _start(session: Session) -> float:
    return session.start_s or 0.0
