"""What to do about a refusal, for each field that a request of ours has."""

from __future__ import annotations

import pytest

from trie.config import Api, EndpointConfig
from trie.preflight.single_request import refusal_advice

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
