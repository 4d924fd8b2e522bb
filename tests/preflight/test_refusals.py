"""What a refusal tells: the setting for each field of ours, a floor under the answer, a context; in servers' words."""

from __future__ import annotations

import pytest

from trie.config import Api, EndpointConfig, ToolRole
from trie.preflight.refusals import conversation_advice, refusal_advice, stated_context, stated_floor, too_long

SPOKEN = EndpointConfig(extra_body={"top_k": 1}, min_tokens_field="min_tokens", continuous_usage=True)


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (422, "Unexpected fields in the request: {'ignore_eos'}", "leave it out with endpoint.ignore_eos=null"),
        (400, "Unknown parameter: 'stream_options'", "leave it out with endpoint.include_usage=false"),
        (400, "unknown field continuous_usage_stats", "leave it out with endpoint.continuous_usage=false"),
        (422, "{'min_tokens', 'top_k'}", "leave it out with endpoint.min_tokens_field=null ~endpoint.extra_body.top_k"),
        (
            400,
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "leave it out with endpoint.max_tokens_field=max_completion_tokens",
        ),
        (400, "max_tokens must be at least 1, got 0", None),
        (500, "ignore_eos", None),
        (None, "ignore_eos", None),
    ],
)
def test_a_field_that_is_named_gets_the_setting_that_drops_it(status: int | None, reason: str, expected: str) -> None:
    assert refusal_advice(status, reason, SPOKEN, model="M", models=["M"]) == expected


def test_a_field_that_is_not_sent_is_not_the_reason() -> None:
    blank = EndpointConfig(ignore_eos=None, include_usage=False)
    assert refusal_advice(422, "ignore_eos stream_options", blank, model="M", models=[]) is None


def test_not_found_is_the_model_or_the_route() -> None:
    def advice(text: str, models: list[str], api: Api = Api.completions) -> str | None:
        return refusal_advice(404, text, EndpointConfig(api=api), model="M", models=models)

    assert advice("no model M", ["A", "B"]) == "the server lists A, B: set model=NAME"
    assert advice("model M does not exist", []) == "does the server know its model as M? model=NAME sets the name"
    assert advice("Not Found", ["M"]) == (
        "does the server have the route of endpoint.api=completions? endpoint.api=chat takes the other"
    )
    assert "endpoint.api=completions takes" in (advice("Not Found", [], Api.chat) or "")


def test_vllm_that_calls_no_tools_is_told_of_none() -> None:
    reason = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    declared = EndpointConfig(api=Api.chat, declare_tools=True)
    expected = "leave it out with endpoint.declare_tools=false"
    assert refusal_advice(400, reason, declared, model="M", models=[]) == expected


@pytest.mark.parametrize(
    ("reason", "history", "expected"),
    [
        (
            "thinking mode: messages with tool calls need their reasoning_content",
            "content",
            "history=content+reasoning",
        ),
        ("Missing `reasoning_content` field in the assistant message", "recorded", "history=content+reasoning"),
        ("function call is missing a thought_signature", "content", "history=content+reasoning"),
        ("messages with tool calls need their reasoning_content", "content+reasoning", "endpoint.tool_role=user"),
        ("expects the `tools=` param to be passed", "content", "endpoint.declare_tools=true"),
        ("tool messages are allowed only where tools are given", "content", "endpoint.declare_tools=true"),
        ("unknown role: tool", "content", "endpoint.tool_role=user"),
    ],
)
def test_a_conversation_that_is_refused_gets_the_setting_that_helps(reason: str, history: str, expected: str) -> None:
    assert (conversation_advice(reason, EndpointConfig(api=Api.chat), history) or "").startswith(expected)


def test_nothing_is_advised_that_is_set_already() -> None:
    settled = EndpointConfig(api=Api.chat, declare_tools=True, tool_role=ToolRole.user)
    assert conversation_advice("no tools, no thinking", settled, "content+reasoning") is None


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "HTTP 400: max_completion_tokens: 1 is below the least, 16", 16),
        (
            400,
            "HTTP 400: Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1",
            16,
        ),
        (422, "HTTP 422: max_tokens: Input should be greater than or equal to 8", 8),
        (
            400,
            "HTTP 400: Could not finish the message: model output limit reached. Try again with higher max_tokens",
            16,
        ),
        (400, "HTTP 400: maxTokens must be at least 1,024", 1024),
        (400, "HTTP 400: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", None),
        (400, "HTTP 400: max_tokens is too large: 1. This model's maximum context length is 16 tokens", None),
        (400, "HTTP 400: temperature must be at least 1", None),
        (500, "HTTP 500: max_tokens below 16", None),
    ],
)
def test_a_floor_under_the_answer_is_read_out_of_a_refusal(status: int, reason: str, expected: int | None) -> None:
    assert stated_floor(status, reason, asked=1) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("This model's maximum context length is 2048 tokens. However, you requested 4097 tokens", 2048),  # vLLM
        ("The decoder prompt (length 4096) is longer than the maximum model length of 2048.", 2048),  # vLLM
        ("The input (4096 tokens) is longer than the model's context length (2048 tokens).", 2048),  # SGLang
        ("request (4112 tokens) exceeds the available context size (2,048 tokens)", 2048),  # llama.cpp
        ("`inputs` must have less than 1024 tokens. Given: 4096", 1024),  # text-generation-inference
        ("prompt is too long: 4,101 tokens > 2,000 maximum", 2000),
        ("input token count (4096) exceeds the maximum number of tokens allowed (2048).", 2048),
        ("the request exceeds the available context size", None),
    ],
)
def test_a_context_is_read_out_of_a_refusal(reason: str, expected: int | None) -> None:
    assert too_long(400, reason)
    assert stated_context(f"HTTP 400: {reason}", sent=4096) == expected


@pytest.mark.parametrize(("status", "reason"), [(400, "Unknown parameter: 'stream_options'"), (500, "context length")])
def test_other_refusals_are_not_of_the_length(status: int, reason: str) -> None:
    assert not too_long(status, reason)
