"""A few rows of each format that is imported, written by hand, with the rows that they must become.

Every text in them is one that must not be found in what is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Files = dict[str, str]


def lines(*rows: Any) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def row(
    prompt: int,
    answers: list[int],
    tools: list[int],
    waits: list[float],
    final: int,
    **more: Any,
) -> dict[str, Any]:
    """A row of the trace format."""
    return {
        "num_turns": len(answers),
        "input_prompt_length": prompt,
        "assistant_response_length": answers,
        "tool_call_output_length": tools,
        "tool_call_latency": waits,
        "final_assistant_response_length": final,
        **more,
    }


@dataclass(frozen=True)
class Example:
    """A source and the rows it must become."""

    format: str
    files: Files
    rows: list[dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    texts: bool = False  # its tokens are counted: one for each word


MOONCAKE = Example(
    "mooncake",
    {
        "trace.jsonl": lines(
            # 1100 tokens: two whole blocks and a partial one; 100 answered in 2 s at 50 tok/s
            {"timestamp": 0, "input_length": 1100, "output_length": 100, "hash_ids": [7, 8, 9]},
            {"timestamp": 500, "input_length": 600, "output_length": 30, "hash_ids": [7, 20]},
            # goes on the first: whole blocks 7 and 8; 1300 - 1100 - 100 = 100 new, 5 - 0 - 2 = 3 s
            {"timestamp": 5000, "input_length": 1300, "output_length": 40, "hash_ids": [7, 8, 10]},
        )
    },
    [
        row(1100, [100], [100], [3.0], 40, source="mooncake", start_offset_s=0.0),
        row(600, [], [], [], 30, source="mooncake", start_offset_s=0.5),
    ],
)
MOONCAKE_WHOLE = Example(
    "mooncake",
    {
        "trace.jsonl": lines(
            {"session_id": "sess-a1", "timestamp": 1000, "input_length": 1536, "output_length": 320, "hash_ids": [0]},
            {"session_id": "sess-b2", "timestamp": 3000, "input_length": 50, "output_length": 5, "hash_ids": [9]},
            {"session_id": "sess-a1", "input_length": 2000, "output_length": 180, "hash_ids": [0], "delay": 2450.3},
        )
    },
    [
        row(1536, [320], [144], [2.45], 180, source="mooncake", start_offset_s=0.0),  # 2000 - 1536 - 320
        row(50, [], [], [], 5, source="mooncake", start_offset_s=2.0),
    ],
    {"input_length": "whole"},
)
MOONCAKE_NEW = Example(
    "mooncake",
    {
        "trace.jsonl": lines(
            {"session_id": "sess-a1", "timestamp": 1000, "input_tokens": 1536, "output_tokens": 320, "hash_ids": [0]},
            {"session_id": "sess-a1", "input_tokens": 768, "output_tokens": 180, "hash_ids": [5], "delay_ms": 2450.3},
        )
    },
    [row(1536, [320], [768], [2.45], 180, source="mooncake", start_offset_s=0.0)],
    {"input_length": "new"},
)
AGENTIC_MOONCAKE = Example(
    "agentic-mooncake",
    {
        "trace.jsonl": lines(
            {
                "request_id": "root-1",
                "session_id": "root",
                "timestamp": 0,
                "input_length": 1000,
                "output_length": 50,
                "branches": ["child-1"],
            },
            {
                "request_id": "child-1",
                "session_id": "child",
                "wait_for": ["root-1"],
                "input_length": 300,
                "output_length": 20,
            },
            {
                "request_id": "child-2",
                "session_id": "child",
                "wait_for": ["child-1"],
                "input_length": 400,
                "output_length": 30,
                "tool_wait_ms": 1500,
            },
            # waits for its own last request and for the child's: delay and tool time together
            {
                "request_id": "root-2",
                "session_id": "root",
                "wait_for": ["root-1", "child-2"],
                "input_length": 1150,
                "output_length": 60,
                "delay": 200,
                "tool_wait_ms": 300,
            },
            # begins anew: nothing of 1150 + 60 survives
            {
                "request_id": "root-3",
                "session_id": "root",
                "wait_for": ["root-2"],
                "input_length": 500,
                "output_length": 70,
                "prefix_reset": True,
                "tool_wait_ms": 100,
            },
        )
    },
    [
        row(
            1000,
            [50, 60],
            [100, 500],
            [0.5, 0.1],
            70,
            context_reset=[None, None, 0],
            subagents=[{"after_turn": 0, "trace": row(300, [20], [80], [1.5], 30)}],
            source="agentic-mooncake",
            start_offset_s=0.0,
        )
    ],
    {"input_length": "whole"},
)


def weka(subagent_t: float) -> dict[str, Any]:
    """A WEKA trace whose sub-agent's times are since its own start (0.0) or the trace's (101.0)."""
    return {
        "id": "trace_0026",
        "models": ["claude-opus-4-5"],
        "block_size": 64,
        "hash_id_scope": "local",
        "tool_tokens": 64,
        "system_tokens": 64,
        "requests": [
            {"t": 0.0, "type": "n", "in": 200, "out": 50, "hash_ids": [1, 2, 3, 4], "api_time": 4.0, "think_time": 0.0},
            {
                "type": "subagent",
                "t": 10.0,
                "agent_id": "agent_explore",
                "duration_ms": 9000,
                "requests": [
                    {"t": subagent_t, "type": "n", "in": 100, "out": 10, "hash_ids": [50, 51], "api_time": 2.0},
                    {
                        "t": subagent_t + 5.0,
                        "type": "s",
                        "in": 130,
                        "out": 20,
                        "hash_ids": [50, 51, 52],
                        "api_time": 1.0,
                    },
                ],
            },
            # 300 - 200 - 50 = 50 new
            {
                "t": 20.0,
                "type": "n",
                "in": 300,
                "out": 40,
                "hash_ids": [1, 2, 3, 5, 6],
                "api_time": 3.0,
                "think_time": 16.0,
            },
            # `in` shrinks: two blocks of 64 are the same, 150 - 128 = 22 are new
            {"t": 30.0, "type": "n", "in": 150, "out": 30, "hash_ids": [1, 2, 9], "api_time": 1.0, "think_time": 7.0},
        ],
    }


WEKA_ROW = row(
    200,
    [50, 40],
    [50, 22],
    [16.0, 7.0],
    30,
    context_reset=[None, None, 128],
    subagents=[{"after_turn": 0, "trace": row(100, [10], [20], [3.0], 20)}],  # 5 - 0 - 2 = 3 s
    source="weka",
)
WEKA = Example("weka", {"traces.jsonl": lines(weka(0.0), weka(101.0))}, [WEKA_ROW, WEKA_ROW])
WEKA_DOCUMENTS = Example(
    "weka",
    {"a.json": json.dumps(weka(0.0), indent=1), "b.json": json.dumps(weka(101.0), indent=1)},
    [WEKA_ROW, WEKA_ROW],
)
TRACELAB = Example(
    "tracelab",
    {
        "rounds.jsonl": lines(
            {
                "provider": "claude",
                "session_id": "claude:92ee",
                "round_index": 0,
                "round_id": "round-same",
                "input_tokens_total": 1000,
                "prefix_tokens": 700,
                "newly_append_tokens": 300,
                "output_tokens": 90,
                "reasoning_output_tokens": 40,
                "tools": [{"tool_name": "Bash", "tool_wall_latency_ms": 860}],
                "first_input_event_type": "user_message",
                "timing_events": [
                    {"event_type": "user_message", "timestamp": "2026-01-01T00:00:00Z"},
                    {"event_type": "assistant", "timestamp": "2026-01-01T00:00:04Z"},
                ],
            },
            # reasoning is not in it: 1200 - 1000 - (90 - 40) = 150 new; the tool was waited for
            {
                "session_id": "claude:92ee",
                "round_index": 1,
                "round_id": "round-same",
                "input_tokens_total": 1200,
                "prefix_tokens": 1050,
                "newly_append_tokens": 150,
                "output_tokens": 30,
                "reasoning_output_tokens": 0,
                "tools": [],
                "first_input_event_type": "tool_result",
                "timing_events": [
                    {"event_type": "tool_result", "timestamp": "2026-01-01T00:00:05Z"},
                    {"event_type": "assistant", "timestamp": "2026-01-01T00:00:07Z"},
                ],
            },
            # the user waited 60 s; compacted: 500 of the prefix survive
            {
                "session_id": "claude:92ee",
                "round_index": 2,
                "round_id": "round-same",
                "input_tokens_total": 620,
                "prefix_tokens": 500,
                "newly_append_tokens": 120,
                "output_tokens": 10,
                "reasoning_output_tokens": 0,
                "tools": [],
                "first_input_event_type": "user_message",
                "timing_events": [
                    {"event_type": "user_message", "timestamp": "2026-01-01T00:01:07Z"},
                    {"event_type": "assistant", "timestamp": "2026-01-01T00:01:08Z"},
                ],
            },
        )
    },
    [
        row(
            1000,
            [90, 30],
            [150, 120],
            [0.86, 60.0],
            10,
            reasoning_length=[40, 0, 0],
            context_reset=[None, None, 500],
            source="tracelab",
            start_offset_s=0.0,
        )
    ],
)


def span(name: str, start: int, end: int, trace: str = "trace-r0", **attributes: Any) -> dict[str, Any]:
    """A span of OTLP/JSON; `_` in an attribute's name is `.`, times are seconds."""
    kinds = {str: "stringValue", int: "intValue", bool: "boolValue"}
    return {
        "name": name,
        "traceId": trace,
        "spanId": f"span-{name}-{start}",
        "startTimeUnixNano": str(start * 10**9),
        "endTimeUnixNano": str(end * 10**9),
        "attributes": [
            {"key": key, "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
            for key, value in attributes.items()
        ],
    }


OTEL = Example(
    "otel",
    {
        "spans.jsonl": lines(
            {
                "resourceSpans": [
                    {
                        "scopeSpans": [
                            {
                                "spans": [
                                    # the second of its conversation stands first
                                    span(
                                        "chat gpt-4",
                                        10,
                                        12,
                                        **{
                                            "gen_ai.operation.name": "chat",
                                            "gen_ai.conversation.id": "conv_1",
                                            "gen_ai.usage.input_tokens": 7000,
                                            "gen_ai.usage.output_tokens": 46,
                                        },
                                    ),
                                    span(
                                        "chat gpt-4",
                                        1,
                                        3,
                                        **{
                                            "gen_ai.operation.name": "chat",
                                            "gen_ai.conversation.id": "conv_1",
                                            "gen_ai.usage.input_tokens": 6342,
                                            "gen_ai.usage.output_tokens": 85,
                                            "gen_ai.usage.reasoning.output_tokens": 25,
                                        },
                                    ),
                                    span("execute_tool grep", 3, 10, **{"gen_ai.operation.name": "execute_tool"}),
                                    # compacted by its own word, though it is longer
                                    span(
                                        "chat gpt-4",
                                        20,
                                        21,
                                        **{
                                            "gen_ai.operation.name": "chat",
                                            "gen_ai.conversation.id": "conv_1",
                                            "gen_ai.usage.input_tokens": 8000,
                                            "gen_ai.usage.output_tokens": 5,
                                            "gen_ai.usage.cache_read.input_tokens": 3000,
                                            "gen_ai.conversation.compacted": True,
                                        },
                                    ),
                                    # older names, no conversation: its trace is the session
                                    span(
                                        "old chat",
                                        5,
                                        6,
                                        trace="trace-r1",
                                        **{
                                            "gen_ai.system": "openai",
                                            "gen_ai.usage.prompt_tokens": 100,
                                            "gen_ai.usage.completion_tokens": 9,
                                        },
                                    ),
                                ]
                            }
                        ]
                    }
                ]
            }
        )
    },
    [
        # 7000 - 6342 - (85 - 25) = 598; 10 - 3 = 7 s; 8000 - 3000 = 5000 new behind a compaction
        row(
            6342,
            [85, 46],
            [598, 5000],
            [7.0, 8.0],
            5,
            reasoning_length=[25, 0, 0],
            context_reset=[None, None, 3000],
            source="otel",
            start_offset_s=0.0,
        ),
        row(100, [], [], [], 9, source="otel", start_offset_s=4.0),
    ],
)
OTEL_FLAT = Example(
    "otel",
    {
        "rows.jsonl": lines(
            {
                "trace_id": "trace-r0",
                "spans": [
                    {
                        "name": "chat",
                        "start_time": "2026-01-01T00:00:00Z",
                        "end_time": "2026-01-01T00:00:02Z",
                        "attributes": {
                            "gen_ai.operation.name": "chat",
                            "gen_ai.usage.input_tokens": 100,
                            "gen_ai.usage.output_tokens": 10,
                        },
                    },
                    {
                        "name": "chat",
                        "start_time": "2026-01-01T00:00:05Z",
                        "end_time": "2026-01-01T00:00:06Z",
                        "attributes": {
                            "gen_ai.operation.name": "chat",
                            "gen_ai.usage.input_tokens": 130,
                            "gen_ai.usage.output_tokens": 20,
                        },
                    },
                ],
            }
        )
    },
    [row(100, [10], [20], [3.0], 20, source="otel", start_offset_s=0.0)],
)


def claude(kind: str, second: float, **more: Any) -> dict[str, Any]:
    """A line of a Claude Code session."""
    return {
        "type": kind,
        "uuid": f"uuid-{kind}-{second}",
        "parentUuid": "uuid-before",
        "isSidechain": False,
        "sessionId": "session-private",
        "cwd": "/home/somebody/secret-project",
        "timestamp": f"2026-01-01T00:00:{second:06.3f}Z",
        **more,
    }


def usage(new: int, created: int, read: int, answer: int, **more: Any) -> dict[str, Any]:
    """The message of an answer."""
    return {
        "id": more.pop("id", "msg_x"),
        "model": more.pop("model", "claude-opus"),
        "role": "assistant",
        "content": [{"type": "text", "text": "a private answer"}],
        "usage": {
            "input_tokens": new,
            "cache_creation_input_tokens": created,
            "cache_read_input_tokens": read,
            "output_tokens": answer,
        },
    }


CLAUDE_LINES = [
    {"type": "summary", "summary": "a private summary", "leafUuid": "uuid-leaf", "sessionId": "session-private"},
    claude("user", 0, message={"role": "user", "content": "do something private"}),
    # two lines of one request: the last usage counts, 10 + 5000 + 90 = 5100 tokens of prompt
    claude("assistant", 2, requestId="req_1", message=usage(10, 5000, 90, 3)),
    claude("assistant", 3, requestId="req_1", message=usage(10, 5000, 90, 80)),
    claude("user", 8, message={"role": "user", "content": [{"type": "tool_result", "content": "private output"}]}),
    # an answer of no model, and an error of the API
    claude("assistant", 8.5, requestId="req_s", message=usage(0, 0, 0, 0, model="<synthetic>")),
    claude("assistant", 8.6, requestId="req_e", isApiErrorMessage=True, message=usage(0, 0, 0, 0)),
    # 5100 + 80 + 200 = 5380 tokens
    claude("assistant", 9, requestId="req_2", message=usage(20, 260, 5100, 40)),
    claude("user", 20, isCompactSummary=True, message={"role": "user", "content": "private summary of all"}),
    # behind the compaction: 3000 read from the cache survive, 4000 - 3000 are new
    claude("assistant", 22, requestId="req_3", message=usage(100, 900, 3000, 50)),
]
CLAUDE_CHILD = [
    claude("user", 4, isSidechain=True, agentId="agent-7f", message={"role": "user", "content": "look around"}),
    claude("assistant", 5, isSidechain=True, agentId="agent-7f", requestId="req_c1", message=usage(1000, 0, 0, 30)),
    claude("user", 6, isSidechain=True, agentId="agent-7f", message={"role": "user", "content": "private file"}),
    claude("assistant", 7, isSidechain=True, agentId="agent-7f", requestId="req_c2", message=usage(70, 0, 1030, 20)),
]
CLAUDE_ROW = row(
    5100,
    [80, 40],
    [200, 1000],
    [5.0, 11.0],
    50,
    context_reset=[None, None, 3000],
    subagents=[{"after_turn": 0, "trace": row(1000, [30], [70], [1.0], 20)}],
    source="claude-code",
    start_offset_s=0.0,
)
CLAUDE_CODE = Example("claude-code", {"session-private.jsonl": lines(*CLAUDE_LINES, *CLAUDE_CHILD)}, [CLAUDE_ROW])
CLAUDE_CODE_FOLDER = Example(
    "claude-code",
    {
        "secret-project/session-private.jsonl": lines(*CLAUDE_LINES),
        "secret-project/session-private/subagents/agent-7f.jsonl": lines(*CLAUDE_CHILD),
        # gone on with: the old lines again, and one request more
        "secret-project/session-resumed.jsonl": lines(
            *CLAUDE_LINES,
            claude("user", 30, sessionId="session-resumed", message={"role": "user", "content": "once more"}),
            claude("assistant", 31, sessionId="session-resumed", requestId="req_4", message=usage(5, 20, 4050, 6)),
        ),
    },
    [CLAUDE_ROW, row(4075, [], [], [], 6, source="claude-code", start_offset_s=30.0)],
)


def codex(kind: str, second: float, **payload: Any) -> dict[str, Any]:
    """A line of a rollout."""
    return {"timestamp": f"2026-01-01T00:00:{second:06.3f}Z", "type": kind, "payload": payload}


def counts(prompt: int, cached: int, answer: int, reasoning: int, total: int) -> dict[str, Any]:
    """The payload of a token count."""
    last = {
        "input_tokens": prompt,
        "cached_input_tokens": cached,
        "output_tokens": answer,
        "reasoning_output_tokens": reasoning,
    }
    return {"type": "token_count", "info": {"last_token_usage": last, "total_token_usage": {"total_tokens": total}}}


CODEX = Example(
    "codex",
    {
        "2026/01/01/rollout-2026-01-01-private.jsonl": lines(
            codex("session_meta", 0, id="private-id", cwd="/home/somebody"),
            codex("event_msg", 0.5, type="task_started"),
            codex("event_msg", 1, type="user_message", message="do something private"),
            codex("event_msg", 1.2, type="token_count", info=None),
            codex("response_item", 3, type="function_call", call_id="call_private", name="shell", arguments="ls"),
            # the tool ended before the count of its own request came
            codex("response_item", 5, type="function_call_output", call_id="call_private", output="private output"),
            codex("event_msg", 5.1, **counts(8000, 4000, 120, 50, 8120)),
            codex("event_msg", 5.2, **counts(8000, 4000, 120, 50, 8120)),
            codex("response_item", 9, type="message", role="assistant", content=[]),
            codex("event_msg", 9.1, **counts(8300, 8000, 40, 0, 16460)),
            # a turn that was broken off has no count
            codex("event_msg", 20, type="user_message", message="go on"),
            codex("response_item", 21, type="reasoning", summary=[]),
            codex("event_msg", 22, type="turn_aborted"),
            codex("compacted", 25, message="private summary"),
            codex("event_msg", 30, type="user_message", message="go on, please"),
            codex("event_msg", 31, type="agent_message", message="done"),
            codex("event_msg", 31.5, **counts(5000, 4000, 10, 0, 21470)),
            codex("event_msg", 32, type="task_complete"),
        )
    },
    [
        row(
            8000,
            [120, 40],
            [230, 1000],  # 8300 - 8000 - (120 - 50); 5000 - 4000 that survive the compaction
            [2.0, 21.0],  # 5 - 3, 30 - 9
            10,
            reasoning_length=[50, 0, 0],
            context_reset=[None, None, 4000],
            source="codex",
            start_offset_s=0.0,
        )
    ],
)
MESSAGES = Example(
    "messages",
    {
        "chats.jsonl": lines(
            {
                "id": "chat-private",
                "messages": [
                    {"role": "system", "content": "you are careful"},
                    {"role": "user", "content": [{"type": "text", "text": "list five files"}]},
                    {
                        "role": "assistant",
                        "content": None,
                        "reasoning_content": "let me think first",
                        "tool_calls": [{"function": {"name": "shell", "arguments": "ls dir"}}],
                    },
                    {"role": "tool", "content": "alpha beta gamma delta"},
                    {"role": "assistant", "content": "here they are"},
                    {"role": "user", "content": "nobody answers this"},
                ],
            }
        )
    },
    # 3 + 3 words; 4 of reasoning and 3 of the call; 4 of the tool, nothing of the reasoning; 3
    [row(6, [7], [4], [None], 3, reasoning_length=[4, 0], source="messages")],  # type: ignore[list-item]
    texts=True,
)
SWE_AGENT = Example(
    "swe-agent",
    {
        "django-private.traj": json.dumps(
            {
                "environment": "swe_main",
                "trajectory": [
                    {
                        "query": [{"role": "system", "content": "fix it"}, {"role": "user", "content": "a bug report"}],
                        "response": "find the file",
                        "observation": "found one match in colon.py",
                        "execution_time": 0.5,
                    },
                    {"response": "submit", "observation": "", "execution_time": 0.1},
                ],
                "info": {"model_stats": {"tokens_sent": 1}},
            },
            indent=2,
        )
    },
    [row(5, [3], [5], [0.5], 1, source="swe-agent")],
    texts=True,
)
MLPERF = Example(
    "mlperf",
    {
        "turns.jsonl": lines(
            {"conversation_id": "conv-private", "turn": 1, "role": "user", "content": "one two three"},
            {"conversation_id": "conv-private", "turn": 2, "role": "assistant", "content": "four five"},
            {"conversation_id": "conv-private", "turn": 3, "role": "user", "content": "six", "delay_seconds": 2.5},
            {"conversation_id": "conv-private", "turn": 4, "role": "assistant", "content": "seven eight nine ten"},
            {"conversation_id": "conv-other", "turn": 1, "role": "user", "content": "eleven"},
            {"conversation_id": "conv-other", "turn": 2, "role": "assistant", "content": "twelve"},
        )
    },
    [row(3, [2], [1], [2.5], 4, source="mlperf"), row(1, [], [], [], 1, source="mlperf")],
    texts=True,
)
SHAREGPT = Example(
    "sharegpt",
    {
        "sharegpt.json": json.dumps(
            [
                {
                    "id": "QWJhYvA_0",
                    "conversations": [
                        {"from": "human", "value": "hello over there"},
                        {"from": "gpt", "value": "good day"},
                    ],
                },
                {"id": "QWJhYvA_1", "conversations": [{"from": "gpt", "value": "unasked words"}]},
            ],
            indent=2,
        )
    },
    [row(3, [], [], [], 2, source="sharegpt")],
    texts=True,
)
LITELLM = Example(
    "litellm",
    {
        "logs.jsonl": lines(
            {
                "id": "chatcmpl-1",
                "litellm_session_id": "sess-private",
                "trace_id": "trace-1",
                "prompt_tokens": 400,
                "completion_tokens": 60,
                "startTime": "2026-01-01 00:00:00.000",
                "endTime": "2026-01-01 00:00:03.000",
            },
            {
                "id": "chatcmpl-2",
                "trace_id": "trace-other",
                "prompt_tokens": 50,
                "completion_tokens": 0,
                "startTime": "2026-01-01 00:00:01.000",
                "endTime": "2026-01-01 00:00:01.500",
            },
            {
                "id": "chatcmpl-3",
                "litellm_session_id": "sess-private",
                "trace_id": "trace-3",
                "prompt_tokens": 500,
                "completion_tokens": 20,
                "startTime": "2026-01-01 00:00:05.250",
                "endTime": "2026-01-01 00:00:06.000",
            },
        )
    },
    [row(400, [60], [40], [2.25], 20, source="litellm", start_offset_s=0.0)],
)


def dynamo(received: int, ended: int, prompt: int, answer: int, **more: Any) -> dict[str, Any]:
    """A row of Dynamo's request trace."""
    return {
        "schema": "dynamo.request.trace.v1",
        "event_type": "request_end",
        "event_time_unix_ms": ended,
        "request": {
            "request_id": f"request-{received}",
            "request_received_ms": received,
            "output_tokens": answer,
            "replay": {
                "trace_block_size": 128,
                "input_length": prompt,
                "input_sequence_hashes": more.pop("hashes", []),
            },
        },
        **more,
    }


DYNAMO = Example(
    "dynamo",
    {
        "trace.jsonl": lines(
            dynamo(1000, 2000, 256, 32, agent_context={"session_id": "run-private", "trajectory_id": "run:planner"}),
            {"schema": "dynamo.request.trace.v1", "event_type": "tool_start", "event_time_unix_ms": 2100},
            dynamo(4000, 5000, 300, 8, agent_context={"session_id": "run-private", "trajectory_id": "run:planner"}),
        )
    },
    [row(256, [32], [12], [2.0], 8, source="dynamo", start_offset_s=0.0)],
)
DYNAMO_BY_HASH = Example(
    "dynamo",
    {
        "trace.jsonl": lines(
            dynamo(1000, 2000, 300, 32, hashes=[11, 12, 13]),
            dynamo(4000, 5000, 400, 8, hashes=[11, 12, 14, 15]),
        )
    },
    [row(300, [32], [68], [2.0], 8, source="dynamo", start_offset_s=0.0)],
)
AGENTIC_BENCH = Example(
    "agentic-bench",
    {
        "sessions.jsonl": lines(
            {
                "session": "bench-private",
                "turns": [
                    {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 0, "pre_gap_ms": 0},
                    {"input_tokens": 150, "output_tokens": 20, "cached_tokens": 100, "pre_gap_ms": 700},
                    {"input_tokens": 90, "output_tokens": 30, "cached_tokens": 64, "pre_gap_ms": 50},
                ],
            }
        )
    },
    [row(100, [10, 20], [40, 26], [0.7, 0.05], 30, context_reset=[None, None, 64], source="agentic-bench")],
)
BAILIAN = Example(
    "bailian",
    {
        "trace.jsonl": lines(
            {"chat_id": 55, "parent_chat_id": -1, "timestamp": 0.0, "input_length": 400, "output_length": 100},
            {"chat_id": 159, "parent_chat_id": 55, "timestamp": 61.0, "input_length": 521, "output_length": 132},
            # a second one that goes on the first: a trace of its own
            {"chat_id": 160, "parent_chat_id": 55, "timestamp": 62.0, "input_length": 530, "output_length": 5},
        )
    },
    [
        row(400, [100], [21], [59.0], 132, source="bailian", start_offset_s=0.0),
        row(530, [], [], [], 5, source="bailian", start_offset_s=62.0),
    ],
)
AZURE = Example(
    "azure",
    {
        "AzureLLMInferenceTrace_code.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
        "2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.4799600,110,27\r\n"
    },
    [
        row(4808, [], [], [], 10, source="azure", start_offset_s=0.0),
        row(110, [], [], [], 27, source="azure", start_offset_s=0.5),
    ],
)
BURSTGPT_FILE = {
    "BurstGPT.csv": "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,1037,4.2,ChatGPT,472,18,490,Conversation log\n"
    "7,,1.0,GPT-4,100,0,100,API log\n"
    "45,1037,2.0,ChatGPT,500,30,530,Conversation log\n"
}
BURSTGPT = Example(
    "burstgpt",
    BURSTGPT_FILE,
    [
        row(472, [], [], [], 18, source="burstgpt", start_offset_s=0.0),
        row(500, [], [], [], 30, source="burstgpt", start_offset_s=40.0),
    ],
)
BURSTGPT_SESSIONS = Example(
    "burstgpt",
    BURSTGPT_FILE,
    [row(472, [18], [10], [35.8], 30, source="burstgpt", start_offset_s=0.0)],  # 45 - 5 - 4.2
    {"input_length": "whole"},
)
BURSTGPT_OLD = Example(
    "burstgpt",
    {
        "old.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "1,ChatGPT,472,18,490,Conversation log\n"
    },
    [row(472, [], [], [], 18, source="burstgpt", start_offset_s=0.0)],
)
EXAMPLES = {name: example for name, example in globals().items() if isinstance(example, Example)}
