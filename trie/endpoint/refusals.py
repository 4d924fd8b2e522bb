"""What to do about a server that refuses our requests: which of our fields it names, and what leaves it out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trie.config import Api, EndpointConfig, PromptForm

NEWER_LENGTH = "max_completion_tokens"


def advice(status: int | None, said: str, endpoint: EndpointConfig, *, model: str, models: Sequence[str]) -> str | None:
    """One line of advice on a refusal; None where there is none to give.

    Args:
        status: of the response.
        said: what it says, as far as it is known.
        endpoint: as the request was made.
        model: which it named.
        models: which the server lists, as far as it does.
    """
    if status == 404:
        return _not_found(said, endpoint, model, models)
    if status not in (400, 422):
        return None
    named = [how for field, how in _ways_out(endpoint, said) if re.search(rf"\b{re.escape(field)}\b", said)]
    return f"leave it out with {' '.join(named)}" if named else None


def _not_found(said: str, endpoint: EndpointConfig, model: str, models: Sequence[str]) -> str:
    if models and model not in models:
        return f"it serves {', '.join(models[:8])}: say model=NAME"
    if model in said:
        return f"is {model} the name by which it serves its model? say model=NAME"
    other = Api.chat if endpoint.api is Api.completions else Api.completions
    return f"has it the route of endpoint.api={endpoint.api.name}? endpoint.api={other.name} takes the other"


def _ways_out(endpoint: EndpointConfig, said: str) -> Iterator[tuple[str, str]]:
    """Each field that requests have and a server may not know, with the setting that drops or renames it."""
    if endpoint.ignore_eos is not None:
        yield "ignore_eos", "endpoint.ignore_eos=null"
    if endpoint.include_usage:
        yield "stream_options", "endpoint.include_usage=false"
    if endpoint.continuous_usage:
        yield "continuous_usage_stats", "endpoint.continuous_usage=false"
    if endpoint.min_tokens_field is not None:
        yield endpoint.min_tokens_field, "endpoint.min_tokens_field=null"
    if endpoint.prompt_form is PromptForm.token_ids:
        yield "return_token_ids", "endpoint.prompt_form=text"
    if endpoint.declare_tools:
        yield "tools", "endpoint.declare_tools=false"
    for field in endpoint.extra_body:
        yield field, f"~endpoint.extra_body.{field}"
    if endpoint.max_tokens_field != NEWER_LENGTH and NEWER_LENGTH in said:
        yield endpoint.max_tokens_field, f"endpoint.max_tokens_field={NEWER_LENGTH}"
