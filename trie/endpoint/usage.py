"""What servers report of tokens, pure: where usage stands in an answer, and what its figures count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MAX_COUNT = 1 << 53  # a figure above this is no count of tokens
PROMPT = ("prompt_tokens", "input_tokens")
COMPLETION = ("completion_tokens", "output_tokens")
PLAIN = ("prompt_tokens", "completion_tokens", "total_tokens")
CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
DETAILS_PROMPT = ("prompt_tokens_details", "input_tokens_details")
DETAILS_COMPLETION = ("completion_tokens_details", "output_tokens_details")
BYTES_PER_TOKEN = 2  # of text that was sent: fewer, and most of the tokens are not in it
WORDLESS = 8  # tokens of an answer that may have no text: ends, markup
PLACES = ("usage", "x_groq", "delta", "message")  # that hold usage, or lead to it


class Counts(NamedTuple):
    """Tokens by one usage object; what is absent or makes no sense as a count is None."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None  # of the completion


def first_choice(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The choice of a chunk or an answer; None where it has none."""
    choices = chunk.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


def usage_of(*holders: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The first usage object that a chunk, or a choice, holds: by its name, or a level below it as some servers do."""
    first = holders[0].get("usage") if holders[0] is not None else None
    if isinstance(first, dict) and first:
        return first
    for holder in holders:
        for place in PLACES if holder is not None else ():
            value = holder.get(place)  # type: ignore[union-attr]
            if place != "usage" and isinstance(value, dict):
                value = value.get("usage")
            if isinstance(value, dict) and value:
                return value
    return None


def counts_of(usage: Mapping[str, Any], cached_at: Sequence[str] = ()) -> Counts:
    """The figures of a usage object, each in OpenAI's sense.

    There, prompt tokens include the cached ones, and completion tokens those of reasoning. Servers that leave them out
    give themselves away by a total that is larger, or by a part that is larger than its whole.

    Args:
        usage: as the server sent it.
        cached_at: names that lead to the cached tokens, looked at before the usual places.
    """
    if len(usage) == len(PLAIN):  # as engines repeat it in each chunk
        prompt, completion, total = map(_whole, map(usage.get, PLAIN))
        if prompt is not None and completion is not None and prompt + completion == total:
            return Counts(prompt, completion)
    prompt, completion = count(usage, PROMPT), count(usage, COMPLETION)
    cached, reasoning = _cached(usage, cached_at), _reasoning(usage)
    if prompt is not None and cached:
        prompt += _left_out_of_prompt(usage, prompt, cached)
    if completion is not None:
        completion += _left_out_of_completion(usage, prompt, completion, reasoning or 0)
    return Counts(prompt, completion, cached, reasoning)


def _left_out_of_prompt(usage: Mapping[str, Any], prompt: int, cached: int) -> int:
    """Cached tokens that the prompt's figure lacks."""
    written = count(usage, ("cache_creation_input_tokens",)) or 0
    if "cache_read_input_tokens" in usage and "prompt_tokens" not in usage:  # as Anthropic counts
        return cached + written
    if count(usage, ("prompt_cache_miss_tokens",)) == prompt:
        return cached
    missing, reasoning = _missing(usage, prompt), _reasoning(usage) or 0
    certain = cached > prompt or missing != reasoning
    parts = (cached, cached + written)
    alone = next((part for part in parts if missing == part and certain), 0)
    return alone or next((part for part in parts if reasoning and missing == part + reasoning), 0)


def _left_out_of_completion(usage: Mapping[str, Any], prompt: int | None, completion: int, reasoning: int) -> int:
    """Tokens of reasoning that the completion's figure lacks."""
    missing = 0 if prompt is None else _missing(usage, prompt)
    return missing or (reasoning if reasoning > completion else 0)


def _missing(usage: Mapping[str, Any], prompt: int) -> int:
    """By how much the total is larger than its parts; 0 where it is not."""
    total, completion = count(usage, ("total_tokens",)), count(usage, COMPLETION)
    return 0 if total is None or completion is None else max(total - prompt - completion, 0)


def _cached(usage: Mapping[str, Any], at: Sequence[str]) -> int | None:
    """The cached tokens: where the names `at` lead, else wherever servers are known to put them."""
    value: object = usage if at else None
    for name in at:
        value = value.get(name) if isinstance(value, dict) else None
    cached = _whole(value)
    return cached if cached is not None else count(usage, CACHED, count(_first(usage, DETAILS_PROMPT), CACHED[:1]))


def _reasoning(usage: Mapping[str, Any]) -> int | None:
    """Tokens of reasoning."""
    names = ("reasoning_tokens",)
    return count(_first(usage, DETAILS_COMPLETION), names, count(usage, names))


def _first(usage: Mapping[str, Any], names: Sequence[str]) -> object:
    return next((usage[name] for name in names if usage.get(name)), None)


def hidden_tokens(tokens: int, *, chunks: int, reasoning: int, text_bytes: int | None) -> int:
    """Of the completion tokens that a server counts, those that it never sent.

    Each chunk brought one token at least. Where the server does not say how many it hides, and the text can't hold the
    tokens that it counts, one for each chunk is taken to have come.

    Args:
        tokens: by usage.
        chunks: that bore a token.
        reasoning: of the tokens, where none of it was sent.
        text_bytes: that were sent; None where all tokens are known to have come.
    """
    rest = max(tokens - chunks, 0)
    if reasoning:
        return min(reasoning, rest)
    if text_bytes is None or tokens <= 2 * chunks + WORDLESS or tokens <= text_bytes // BYTES_PER_TOKEN:
        return 0
    return rest


def count(usage: object, names: Sequence[str], default: int | None = None) -> int | None:
    """The first of these figures that is a count; else the default."""
    if isinstance(usage, dict):
        for name in names:
            if (tokens := _whole(usage.get(name))) is not None:
                return tokens
    return default


def _whole(value: object) -> int | None:
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
    return value if ok else None  # type: ignore[return-value]
