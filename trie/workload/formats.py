"""Trace files of others, told by the fields of a row: named for people, not read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Format(NamedTuple):
    """A format of traces, and the fields that tell it."""

    name: str
    all_of: frozenset[str]
    any_of: frozenset[str] = frozenset()  # and one of these, where there are any


def _format(name: str, all_of: str, any_of: str = "") -> Format:
    return Format(name, frozenset(all_of.split()), frozenset(any_of.split()))


# The first that fits is the one: what is more special stands before what it is made of.
FORMATS = (
    _format("a Bailian trace", "chat_id parent_chat_id"),
    _format("an agentic Mooncake trace", "input_length output_length", "wait_for branches prefix_reset tool_events"),
    _format("a Mooncake trace", "input_length output_length"),
    _format("a Mooncake trace", "input_tokens output_tokens", "hash_ids delay delay_ms"),
    _format("a WEKA or AgentX trace", "requests", "block_size hash_id_scope models"),
    _format("a TraceLab trace", "round_index", "input_tokens_total newly_append_tokens prefix_tokens"),
    _format("OpenTelemetry spans", "resourceSpans"),
    _format("OpenTelemetry spans", "spans"),
    _format("OpenTelemetry spans", "", "gen_ai.operation.name gen_ai.usage.input_tokens gen_ai.conversation.id"),
    _format("a Claude Code session", "sessionId", "uuid parentUuid isSidechain"),
    _format("a Codex rollout", "type payload"),
    _format("ShareGPT conversations", "conversations"),
    _format("a Dynamo request trace", "agent_context"),
    _format("LiteLLM logs", "", "litellm_session_id litellm_call_id completionStartTime"),
    _format("an MLPerf conversation", "conversation_id turn role"),
    _format("an AIPerf dataset", "turns", "session_id"),
    _format("an agentic-bench session", "turns"),
    _format("an OpenAI batch file", "custom_id body"),
    _format("a SWE-agent trajectory", "trajectory"),
    _format("OpenAI messages", "messages"),
    _format("a dataset of prompts", "prompt"),
)
CSV_HEADERS = {
    "TIMESTAMP,ContextTokens,GeneratedTokens": "an Azure LLM trace (CSV)",
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type": "BurstGPT (CSV)",
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type": "BurstGPT (CSV)",
}


def format_of(row: Mapping[str, Any]) -> str | None:
    """The format whose rows have such fields, for people; None for one that is not known."""
    keys = row.keys()
    fits = (known.name for known in FORMATS if known.all_of <= keys and (not known.any_of or known.any_of & keys))
    return next(fits, None)


def format_of_text(line: str) -> str | None:
    """The same by a first line that is no JSON."""
    return CSV_HEADERS.get(line.strip())
