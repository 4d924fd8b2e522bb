"""TokenSpeed behind its gateway, smg: the gateway was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trie.engines.declaration import Answer, Engine, Facts, Header, MetricNames, OwnedBy, is_count
from trie.one_line import one_line


def _smg_workers(answer: Answer) -> dict[str, Any]:
    """The servers that it spreads requests over, with the shortest context that each states."""
    value = answer.json
    workers = value.get("workers") if isinstance(value, dict) else None
    if not isinstance(workers, list):
        return {}
    named = [worker for worker in workers if isinstance(worker, dict) and isinstance(worker.get("url"), str)]
    return {"workers": [_smg_worker(worker) for worker in named]}


def _smg_worker(worker: Mapping[str, Any]) -> dict[str, Any]:
    labels = worker.get("labels")
    version = labels.get("version") if isinstance(labels, dict) else None
    engine = [part for part in (worker.get("runtime_type"), version) if isinstance(part, str)]
    models = worker.get("models")
    listed = [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    contexts: list[int] = [model["context_length"] for model in listed if is_count(model.get("context_length"))]
    return {
        "url": one_line(worker["url"], 200),
        "engine": one_line(" ".join(engine), 80) or None,
        "context": min(contexts, default=None),
    }


def _shortest_worker_context(facts: Mapping[str, Any]) -> int | None:
    """A request behind a gateway may reach any worker."""
    contexts = [worker["context"] for worker in facts.get("workers", ()) if worker["context"]]
    return min(contexts, default=None)


ENGINE = Engine(
    dialect="tokenspeed",
    name="TokenSpeed/smg",
    signs=(OwnedBy(("self_hosted",)), MetricNames("smg_"), Header("x-smg-*")),
    gateway=True,
    facts=Facts(("/workers",), _smg_workers, _shortest_worker_context),
)
