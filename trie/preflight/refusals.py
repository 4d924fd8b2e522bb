"""What a server's refusal tells: the setting to change, the fewest tokens it answers, its context. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trie.config import Api, EndpointConfig, PromptForm, ToolRole
from trie.endpoint.request_body import REASONING

NEWER_LENGTH = "max_completion_tokens"
MODELS_SHOWN = 8  # that a message names
REFUSED = frozenset({400, 413, 422})

LIMIT_FIELD = re.compile(r"max_?(new_?|output_?|completion_?)?tokens", re.IGNORECASE)
TOO_FEW = re.compile(r"\bleast|\bmin(imum)?\b|_min_|below|higher|greater|too (small|low)|>=?", re.IGNORECASE)
TOO_LONG = re.compile(
    r"context|too (long|many)|longer than|exceed|less than \d+ tokens|max(imum)?[ _](model |prompt |input )?len|n_ctx",
    re.IGNORECASE,
)
USUAL_FLOOR = 16  # tokens, of the clouds that have one
HIGHEST_FLOOR = 1024  # a number above it is none
SHORTEST_CONTEXT = 32  # a number below it is none


def refusal_advice(
    status: int | None, reason: str, endpoint: EndpointConfig, *, model: str, models: Sequence[str]
) -> str | None:
    """One line of advice on a refusal; None where there is none to give.

    Args:
        status: of the response.
        reason: in the server's words, as far as it gives one.
        endpoint: as the request was made.
        model: which it named.
        models: which the server lists, as far as it does.
    """
    if status == 404:
        return _not_found_advice(reason, endpoint, model, models)
    if status not in (400, 422):
        return None
    settings = [
        setting for field, setting in _ways_out(endpoint, reason) if re.search(rf"\b{re.escape(field)}\b", reason)
    ]
    return f"leave it out with {' '.join(dict.fromkeys(settings))}" if settings else None


def conversation_advice(reason: str, endpoint: EndpointConfig, history: str) -> str | None:
    """What helps where a server takes a single message and refuses a conversation with a tool; None: nothing known."""
    if history != REASONING and re.search(r"reasoning|thinking|thought", reason, re.IGNORECASE):
        return f"history={REASONING} sends back what the server thought"
    if not endpoint.declare_tools and re.search(r"\btools\b", reason):
        return "endpoint.declare_tools=true declares the tool that is called"
    if endpoint.tool_role is ToolRole.tool:
        return "endpoint.tool_role=user sends a tool's output as the user's"
    return None


def stated_floor(status: int | None, reason: str, *, asked: int) -> int | None:
    """The fewest tokens that a server answers, where it refused to answer as few as were asked for."""
    of_the_limit = LIMIT_FIELD.search(reason) is not None and TOO_FEW.search(reason) is not None
    if status not in REFUSED or not of_the_limit or too_long(status, reason):
        return None
    numbers = [int(number) for number in re.findall(r"\d+", LIMIT_FIELD.sub("", _words(reason)))]
    return min((number for number in numbers if asked < number <= HIGHEST_FLOOR), default=USUAL_FLOOR)


def too_long(status: int | None, reason: str) -> bool:
    """Whether a prompt was refused for its length."""
    return status in REFUSED and TOO_LONG.search(reason) is not None


def stated_context(reason: str, *, sent: int) -> int | None:
    """The context that a refusal of so many tokens names; None where it names none."""
    numbers = [int(number) for number in re.findall(r"\d+", _words(reason))]
    return min((number for number in numbers if SHORTEST_CONTEXT <= number < sent), default=None)


def _words(reason: str) -> str:
    """The server's own words: the status in front of them is no number of theirs, and 4,096 is one number."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", re.sub(r"\bHTTP \d+: ", "", reason))


def _not_found_advice(reason: str, endpoint: EndpointConfig, model: str, models: Sequence[str]) -> str:
    if models and model not in models:
        return f"the server lists {', '.join(models[:MODELS_SHOWN])}: set model=NAME"
    if model in reason:
        return f"does the server know its model as {model}? model=NAME sets the name"
    other = Api.chat if endpoint.api is Api.completions else Api.completions
    return (
        f"does the server have the route of endpoint.api={endpoint.api.name}? endpoint.api={other.name} takes the other"
    )


def _ways_out(endpoint: EndpointConfig, reason: str) -> Iterator[tuple[str, str]]:
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
        for field in ("tools", "tool choice", "tool_choice"):  # the last two in vLLM's words
            yield field, "endpoint.declare_tools=false"
    for field in endpoint.extra_body:
        yield field, f"~endpoint.extra_body.{field}"
    if endpoint.max_tokens_field != NEWER_LENGTH and NEWER_LENGTH in reason:
        yield endpoint.max_tokens_field, f"endpoint.max_tokens_field={NEWER_LENGTH}"
