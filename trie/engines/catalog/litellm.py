"""LiteLLM's proxy, as its documentation says; none was at hand. Every model that it lists is "owned by openai"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trie.engines.declaration import Answer, Engine, Facts, Header, JsonAnswer, is_count
from trie.one_line import one_line


def _litellm_deployments(answer: Answer) -> dict[str, Any]:
    """Which models stand behind it, each under the name that it gives them; addresses without their query."""
    value = answer.json
    listed = value.get("data") if isinstance(value, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    deployments = [_litellm_deployment(entry) for entry in entries if isinstance(entry.get("model_name"), str)]
    return {"deployments": deployments} if deployments else {}


def _litellm_deployment(entry: Mapping[str, Any]) -> dict[str, Any]:
    told, info = _object(entry, "litellm_params"), _object(entry, "model_info")
    model, address, context = told.get("model"), told.get("api_base"), info.get("max_input_tokens")
    return {
        "name": one_line(entry["model_name"], 200),
        "model": one_line(model, 200) if isinstance(model, str) else None,
        "url": one_line(address.partition("?")[0], 200) if isinstance(address, str) else None,
        "context": context if is_count(context) else None,
    }


def _object(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def _litellm_context(facts: Mapping[str, Any]) -> int | None:
    """The shortest, where all deployments are of one model: of several, whose it is can't be told."""
    deployments = facts.get("deployments", ())
    contexts = [deployment["context"] for deployment in deployments if deployment["context"]]
    return min(contexts, default=None) if len({deployment["name"] for deployment in deployments}) == 1 else None


ENGINE = Engine(
    dialect="litellm",
    name="LiteLLM",
    signs=(
        JsonAnswer(
            "/health/readiness",
            lambda value: isinstance(value.get("litellm_version"), str),
            "answers {version}",
            "litellm_version",
        ),
        Header("x-litellm-*"),
    ),
    gateway=True,
    hides=("openai",),
    facts=Facts(("/model/info",), _litellm_deployments, _litellm_context),
)
