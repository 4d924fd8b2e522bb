"""Who is the server? Pure: from what its routes answered to a finding, with what speaks for it and against it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trie.endpoint.get_json import Reply
from trie.engines.counters import samples
from trie.one_line import one_line

MODELS = "/v1/models"
# Routes beside /v1 that one engine or another has. The last answers 405 to a GET on `transformers serve` alone.
ROUTES = ("/version", "/server_info", "/get_server_info", "/props", "/metrics", "/load_model")

_OWNERS = {  # who /v1/models says the models are owned by
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llamacpp",
    "openai": "openai",
    "openai-internal": "openai",
    "system": "openai",
    "self_hosted": "tokenspeed",
    "trie-sim": "sim",
}
_PREFIXES = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llamacpp", "trie_sim": "sim"}  # of names in /metrics
_NAMES = re.compile(rb"^(?:# TYPE )?([a-z_]+):", re.MULTILINE)
_OF_THE_GATEWAY = re.compile(rb"^(?:# TYPE )?smg_", re.MULTILINE)
GATEWAY = "tokenspeed"  # whose gateway, smg, passes on what engines behind it say


@dataclass(frozen=True, slots=True)
class Witness:
    """One answer that speaks for a dialect."""

    dialect: str
    said: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Which dialect a server speaks, as far as its answers tell."""

    dialect: str | None  # None: not known
    version: str | None = None
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()  # answers that speak for another
    behind: str | None = None  # the engine that a gateway lets through

    @property
    def confidence(self) -> str:
        if self.against:
            return "contradicted"
        return "certain" if len(self.evidence) > 1 else "likely"

    def __str__(self) -> str:
        if self.dialect is None:
            return "unknown" + (f" ({'; '.join(self.against)})" if self.against else "")
        who = " ".join(part for part in (self.dialect, self.version) if part)
        but = f"; but {', '.join(self.against)}" if self.against else ""
        return f"{who} ({self.confidence}: {', '.join(self.evidence)}{but})"


def identify(replies: Mapping[str, Reply]) -> Finding:
    """The finding from a server's replies by route; routes that were not asked may be left out.

    A gateway outranks what shines through it. Otherwise the dialect that most answers speak for is the one, and a tie
    is no finding.
    """
    found = list(_witnesses(replies))
    gateway = [witness for witness in found if witness.dialect == GATEWAY]
    if gateway:
        behind = _leading([witness for witness in found if witness.dialect != GATEWAY])
        through = [f"{witness.said}, of the engine behind it" for witness in found if witness.dialect == behind]
        return Finding(GATEWAY, None, tuple(witness.said for witness in gateway) + tuple(through), behind=behind)
    leading = _leading(found)
    speak = tuple(witness for witness in found if witness.dialect == leading)
    against = tuple(f"{witness.said} is {witness.dialect}'s" for witness in found if witness.dialect != leading)
    version = next((witness.version for witness in speak if witness.version), None)
    return Finding(leading, version, tuple(witness.said for witness in speak), against)


def _leading(found: list[Witness]) -> str | None:
    """The dialect with the most witnesses; None for none and for a tie."""
    ranked = Counter(witness.dialect for witness in found).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _witnesses(replies: Mapping[str, Reply]) -> Iterator[Witness]:
    json = {route: reply.json for route, reply in replies.items()}
    yield from _version(json.get("/version"))
    yield from _owner(json.get(MODELS))
    for route in ("/server_info", "/get_server_info"):
        yield from _info(route, json.get(route))
    yield from _props(json.get("/props"))
    yield from _metrics(replies.get("/metrics", Reply()))
    yield from _headers(replies)
    statuses = [replies.get(route, Reply()).status for route in ("/load_model", "/props")]
    if statuses == [405, 404]:
        yield Witness("transformers", "it has the route /load_model")


def _version(value: Any) -> Iterator[Witness]:
    version = value.get("version") if isinstance(value, dict) else None
    if isinstance(version, str):
        said = one_line(version, 40)
        yield Witness("sim" if value.get("server") == "trie-sim" else "vllm", f"/version answers {said}", said)


def _owner(value: Any) -> Iterator[Witness]:
    listed = value.get("data") if isinstance(value, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    owner = first.get("owned_by") if isinstance(first, dict) else None
    if isinstance(owner, str) and owner in _OWNERS:
        yield Witness(_OWNERS[owner], f"models owned by {owner}")


def _info(route: str, value: Any) -> Iterator[Witness]:
    if not isinstance(value, dict):
        return
    if "vllm_config" in value:
        yield Witness("vllm", f"{route} holds a vllm_config")
    elif "model_path" in value and {"tp_size", "disable_radix_cache", "mem_fraction_static"} & value.keys():
        version = value.get("version")
        yield Witness(
            "sglang", f"{route} holds its arguments", one_line(version, 40) if isinstance(version, str) else None
        )


def _props(value: Any) -> Iterator[Witness]:
    if isinstance(value, dict) and {"default_generation_settings", "total_slots"} <= value.keys():
        build = value.get("build_info")
        yield Witness("llamacpp", "/props tells its slots", one_line(build, 40) if isinstance(build, str) else None)


def _metrics(reply: Reply) -> Iterator[Witness]:
    names = set(_NAMES.findall(reply.body)) if reply.ok else set()
    for prefix, dialect in _PREFIXES.items():
        if prefix.encode() in names:
            yield Witness(dialect, f"/metrics names {prefix}:...")
    if reply.ok and _OF_THE_GATEWAY.search(reply.body):
        yield Witness(GATEWAY, "/metrics names smg_...")


def _headers(replies: Mapping[str, Reply]) -> Iterator[Witness]:
    names = {name for reply in replies.values() for name in reply.head}
    if any(reply.head.get("server", "").lower() == "llama.cpp" for reply in replies.values()):
        yield Witness("llamacpp", "header server: llama.cpp")
    for name in sorted(name for name in names if name.startswith("x-smg-")):
        yield Witness(GATEWAY, f"header {name}")
    for name in sorted(names & {"openai-version", "openai-organization"}):
        yield Witness("openai", f"header {name}")


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
