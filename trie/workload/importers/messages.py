"""Logs of messages: OpenAI chats, OpenHands and SWE-smith trajectories, SWE-agent's .traj, MLPerf's turns, ShareGPT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.workload.importers import dialogue
from trie.workload.importers.dialogue import Said, message, text_of
from trie.workload.importers.fields import Field
from trie.workload.importers.importer import Importer, Source, has
from trie.workload.importers.session import Session

EXECUTION = Field(("execution_time",))
DELAY = Field(("delay_seconds",))
HISTORY = ("messages", "history", "trajectory")


def _is_messages(rows: Any) -> bool:
    """Whether a list has messages with roles."""
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and "role" in rows[0]


def recognize_messages(row: Mapping[str, Any]) -> str | None:
    """A conversation with roles."""
    if "trajectory" in row and recognize_swe_agent(row):
        return None
    name = next((name for name in HISTORY if _is_messages(row.get(name))), None)
    return None if name is None else f"documents with {name}[] that have roles"


def messages(source: Source) -> Iterator[Session]:
    """A session a document."""
    for _, row in source.objects():
        rows = next((row[name] for name in HISTORY if _is_messages(row.get(name))), None)
        if rows is None:
            source.drop("documents without messages")
            continue
        yield dialogue.session((message(entry) for entry in rows if isinstance(entry, dict)), source)


def recognize_swe_agent(row: Mapping[str, Any]) -> str | None:
    """Steps with a response and an observation."""
    steps = row.get("trajectory")
    if isinstance(steps, list) and steps and isinstance(steps[0], dict) and has(steps[0], "response", "observation"):
        return "documents with trajectory[] that have response and observation"
    return None


def swe_agent(source: Source) -> Iterator[Session]:
    """A session a file: the response of each step, and what the environment answered."""
    for _, row in source.objects():
        steps = row.get("trajectory")
        if not isinstance(steps, list):
            source.drop("documents without trajectory[]")
            continue
        yield dialogue.session(_steps(row, [step for step in steps if isinstance(step, dict)]), source)


def _steps(row: Mapping[str, Any], steps: list[dict[str, Any]]) -> Iterator[Said]:
    """What was asked at first, then the steps."""
    first = next((asked for step in steps[:1] for name in ("query", "messages") if (asked := step.get(name))), None)
    for entry in _before_the_agent(first if isinstance(first, list) else row.get("history") or []):
        yield message(entry)
    for step in steps:
        yield Said(text_of(step.get("response")), by_agent=True)
        yield Said(text_of(step.get("observation")), by_agent=False, wait_s=EXECUTION.seconds(step))


def _before_the_agent(entries: list[Any]) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("role") == "assistant":
            return
        yield entry


def recognize_turns(row: Mapping[str, Any]) -> str | None:
    """A message a row."""
    return "rows with conversation_id, turn and role" if has(row, "conversation_id", "turn", "role") else None


def turns(source: Source) -> Iterator[Session]:
    """By conversation_id, whose rows stand together."""
    key = None
    parts: list[Said] = []
    for _, row in source.objects():
        if row.get("conversation_id") != key and parts:
            yield dialogue.session(parts, source)
            parts = []
        key = row.get("conversation_id")
        parts.append(message(row)._replace(wait_s=DELAY.seconds(row)))
    if parts:
        yield dialogue.session(parts, source)


def recognize_sharegpt(row: Mapping[str, Any]) -> str | None:
    """A conversation with `from` and `value`."""
    rows = row.get("conversations")
    if isinstance(rows, list) and rows and isinstance(rows[0], dict) and has(rows[0], "from", "value"):
        return "documents with conversations[] that have from and value"
    return None


def sharegpt(source: Source) -> Iterator[Session]:
    """A session a conversation."""
    for _, row in source.objects():
        rows = [entry for entry in row.get("conversations") or () if isinstance(entry, dict)]
        yield dialogue.session((message(entry, role="from", content="value") for entry in rows), source)


MESSAGES = Importer(
    name="messages",
    title="OpenAI-style message logs (OpenHands, SWE-smith)",
    recognize=recognize_messages,
    sessions=messages,
)
SWE_AGENT = Importer(
    name="swe-agent", title="SWE-agent trajectories", recognize=recognize_swe_agent, sessions=swe_agent
)
MLPERF = Importer(name="mlperf", title="MLPerf endpoints JSONL", recognize=recognize_turns, sessions=turns)
SHAREGPT = Importer(name="sharegpt", title="ShareGPT", recognize=recognize_sharegpt, sessions=sharegpt)
