"""What an engine says of itself beside the API: its cache, its slots, its context, a gateway's workers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trie.endpoint.asking import Reply
from trie.endpoint.prometheus import samples
from trie.text import one_line

WORKERS = "/workers"  # of smg: the servers that it spreads requests over
_CACHE_CONFIG = "vllm:cache_config_info"
_CACHE_FACTS = ("block_size", "num_gpu_blocks", "kv_cache_size_tokens", "enable_prefix_caching", "cache_dtype")
_WHOLE = re.compile(r"\d{1,15}")


def facts_beside(replies: Mapping[str, Reply]) -> dict[str, Any]:
    """Facts for the manifest out of the replies by route; what is not told is not in it."""
    return {
        **_cache_config(replies.get("/metrics", Reply())),
        **_slots(replies.get("/props", Reply()).json),
        **_arguments(replies.get("/get_server_info", Reply()).json or replies.get("/server_info", Reply()).json),
        **_workers(replies.get(WORKERS, Reply()).json),
    }


def context_beside(facts: Mapping[str, Any]) -> int | None:
    """Tokens of prompt and completion together, by what stands beside the API; None where nothing does.

    A slot of llama.cpp holds its share of the whole context, and a request behind a gateway may reach any worker.
    """
    known = [facts.get("slot_context"), *(worker["context"] for worker in facts.get("workers", ()))]
    return min((length for length in known if length), default=None)


def _cache_config(metrics: Reply) -> dict[str, Any]:
    """The labels of vLLM's gauge that is always 1; of several engines, those of the first."""
    if not metrics.ok:
        return {}
    labels = next((sample.labels for sample in samples(metrics.body) if sample.name == _CACHE_CONFIG), {})
    return {name: _value(labels[name]) for name in _CACHE_FACTS if name in labels}


def _value(text: str) -> int | str:
    return int(text) if _WHOLE.fullmatch(text) else one_line(text, 80)


def _slots(props: Any) -> dict[str, Any]:
    """llama.cpp's /props."""
    if not isinstance(props, dict) or not isinstance(props.get("total_slots"), int):
        return {}
    settings = props.get("default_generation_settings")
    context = settings.get("n_ctx") if isinstance(settings, dict) else None
    return {"total_slots": props["total_slots"], **({"slot_context": context} if _is_count(context) else {})}


def _arguments(info: Any) -> dict[str, Any]:
    """SGLang's server info, which holds its arguments; as its documentation has them, no SGLang was at hand."""
    if not isinstance(info, dict) or "model_path" not in info:
        return {}
    wanted = ("page_size", "max_total_num_tokens", "tp_size", "dp_size", "enable_cache_report", "disable_radix_cache")
    return {name: info[name] for name in wanted if isinstance(info.get(name), bool | int)}


def _workers(listed: Any) -> dict[str, Any]:
    """The workers of smg, with the shortest context that each states."""
    workers = listed.get("workers") if isinstance(listed, dict) else None
    if not isinstance(workers, list):
        return {}
    found = [worker for worker in workers if isinstance(worker, dict) and isinstance(worker.get("url"), str)]
    return {"workers": [_worker(worker) for worker in found]}


def _worker(worker: Mapping[str, Any]) -> dict[str, Any]:
    labels = worker.get("labels")
    version = labels.get("version") if isinstance(labels, dict) else None
    engine = [part for part in (worker.get("runtime_type"), version) if isinstance(part, str)]
    return {
        "url": one_line(worker["url"], 200),
        "engine": one_line(" ".join(engine), 80) or None,
        "context": _context(worker),
    }


def _context(worker: Mapping[str, Any]) -> int | None:
    models = worker.get("models")
    named = [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    lengths: list[int] = [model["context_length"] for model in named if _is_count(model.get("context_length"))]
    return min(lengths, default=None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
