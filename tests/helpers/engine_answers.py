"""What engines answer on the routes by which they are told apart, as vLLM 0.32, llama.cpp and smg 1.13 were seen to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from helpers.scripted_server import Script, plain_response
from trie.endpoint.get_json import Reply

METRICS = "/metrics"


def models(owner: str, *ids: str, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner, **more} for name in ids]}


VLLM: dict[str, Any] = {
    "/version": {"version": "0.32.0"},
    "/v1/models": models("vllm", "tiny", max_model_len=131072),
    "/server_info": {"vllm_config": "model='tiny'"},
    METRICS: '# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{engine="0",model_name="tiny"} 5.0\n'
    'vllm:cache_config_info{block_size="32",cache_dtype="auto",engine="0",num_gpu_blocks="80"} 1.0\n'
    'vllm:num_requests_running{engine="0"} 0.0\n',
}
SGLANG: dict[str, Any] = {
    "/v1/models": models("sglang", "M", max_model_len=4096),
    "/get_server_info": {"model_path": "M", "tp_size": 2, "version": "0.5.23", "page_size": 64},
    METRICS: "sglang:num_running_reqs 0.0\n",
}
LLAMACPP: dict[str, Any] = {
    "/v1/models": models("llamacpp", "tiny", meta={"n_ctx": 16384, "n_ctx_train": 131072}),
    "/props": {
        "default_generation_settings": {"n_ctx": 16384},
        "total_slots": 8,
        "build_info": "b10434-3ebe0e6",
    },
    METRICS: "# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total 12\n",
}
SMG: dict[str, Any] = {
    "/v1/models": models("self_hosted", "tiny"),
    "/workers": {
        "workers": [
            {
                "url": f"http://w{n}",
                "models": [{"context_length": 4096 * n}],
                "runtime_type": "vllm",
                "labels": {"version": "0.32.0"},
            }
            for n in (2, 1)
        ]
    },
}
LITELLM: dict[str, Any] = {
    "/v1/models": models("openai", "m"),
    "/health/readiness": {"status": "healthy", "litellm_version": "1.80.0"},
    "/model/info": {
        "data": [
            {
                "model_name": "m",
                "litellm_params": {"model": "hosted_vllm/M", "api_base": f"http://w{n}/v1?k=secret"},
                "model_info": {"max_input_tokens": 4096 * n},
            }
            for n in (2, 1)
        ]
    },
}
TRANSFORMERS: dict[str, Any] = {"/v1/models": models("", "M"), "/load_model": 405}
SIM: dict[str, Any] = {
    "/version": {"version": "0.1.0", "server": "trie-sim"},
    "/v1/models": models("trie-sim", "sim", max_model_len=262144),
    METRICS: "trie_sim:num_requests_running 0\n",
}
HEADERS = {"smg": {"x-smg-error-code": "unknown_url"}, "llamacpp": {"server": "llama.cpp"}}


def replies(
    answers: Mapping[str, Any], routes: tuple[str, ...], head: Mapping[str, str] | None = None
) -> dict[str, Reply]:
    """The answers as replies; a route without one is not found."""
    return {route: Reply(*_told(answers.get(route, 404)), head=head or {}) for route in routes}


def _told(answer: Any) -> tuple[int, bytes]:
    if isinstance(answer, int):
        return answer, b'{"detail": "no such"}'
    return 200, answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()


def serving(
    answers: Mapping[str, Any], otherwise: Callable[[bytes], Script], *headers: str
) -> Callable[[bytes], Script]:
    """A server of these answers for `scripted_server.playing`; a POST is answered by `otherwise`."""

    def answer(request: bytes) -> Script:
        method, route, *_ = request.split(b" ", 2)
        if method == b"POST":
            return otherwise(request)
        status, body = _told(answers.get(route.decode().partition("?")[0], 404))
        return (plain_response(f"{status} Said", body, *headers),)

    return answer
