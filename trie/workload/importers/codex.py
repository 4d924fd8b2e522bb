"""Codex rollouts: a file a session, with events of the agent and token counts between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trie.workload.importers import source as files
from trie.workload.importers.fields import Field, Fields, nested
from trie.workload.importers.importer import Importer, Source, call_of
from trie.workload.importers.session import Call, Session

FIELDS = Fields(  # of info.last_token_usage
    prompt=Field(("input_tokens",)),  # cached tokens included
    completion=Field(("output_tokens",)),
    reasoning=Field(("reasoning_output_tokens",)),
    survives=Field(("cached_input_tokens",)),
)
TIME = Field(("timestamp",))
KINDS = frozenset({"session_meta", "turn_context", "event_msg", "response_item", "compacted"})
INPUTS = frozenset({"function_call_output", "custom_tool_call_output", "user_message", "task_started", "turn_started"})
OUTPUTS = frozenset(
    {"function_call", "custom_tool_call", "local_shell_call", "reasoning", "agent_message", "agent_reasoning"}
)


def recognize(row: Mapping[str, Any]) -> str | None:
    """A line with a type and a payload of a rollout."""
    if row.get("type") in KINDS and isinstance(row.get("payload"), dict):
        return "lines with type and payload of a rollout"
    return None


@dataclass(slots=True)
class Rollout:
    """The requests of a file as its lines come."""

    calls: list[Call] = field(default_factory=list)
    input_s: float | None = None  # when what the next request sends was there
    output_s: float | None = None  # when the last part of the answer was there
    next_input_s: float | None = None  # as `input_s`, of a tool that ended before the count of its request came
    counted: Any = None  # the totals of the last count: a repeated line has the same
    compacted: bool = False

    def read(self, line: Mapping[str, Any], source: Source) -> None:
        """Take in a line."""
        kind, payload, moment = line.get("type"), line.get("payload"), TIME.seconds(line)
        inner = payload.get("type") if isinstance(payload, dict) else None
        role = payload.get("role") if isinstance(payload, dict) and inner == "message" else None
        if kind == "compacted" or inner == "context_compacted":
            self.compacted = True
        elif inner == "turn_aborted":
            self.output_s = self.next_input_s = None
        elif inner in INPUTS or role == "user":
            self._input(moment)
        elif inner in OUTPUTS or role == "assistant":
            self.output_s = moment
        elif inner == "token_count":
            self._count(payload, moment, source)

    def _input(self, moment: float | None) -> None:
        if self.output_s is None:
            self.input_s = moment
        else:
            self.next_input_s = moment

    def _count(self, payload: Any, moment: float | None, source: Source) -> None:
        usage = nested(payload, "info.last_token_usage")
        if not isinstance(usage, dict):
            source.drop("token counts without usage")
            return
        totals = nested(payload, "info.total_token_usage") or (usage, moment)
        if totals == self.counted:
            source.drop("repeated token counts")
            return
        self.counted = totals
        call = call_of(usage, FIELDS)
        if call is None:
            source.drop("token counts without usage")
            return
        end_s = self.output_s if self.output_s is not None else moment
        self.calls.append(call._replace(start_s=self.input_s, end_s=end_s, compacted=self.compacted))
        self.input_s, self.next_input_s = self.next_input_s, None
        self.output_s, self.compacted = None, False


def sessions(source: Source) -> Iterator[Session]:
    """A session a file."""
    for file in files.files(source.path):
        rollout = Rollout()
        for _, line in source.objects_of(file):
            rollout.read(line, source)
        if rollout.calls:
            yield Session(rollout.calls, start_s=rollout.calls[0].start_s)
        else:
            source.drop("files without a request")


CODEX = Importer(
    name="codex",
    title="Codex rollouts",
    recognize=recognize,
    sessions=sessions,
    fields={"info.last_token_usage": FIELDS},
)
