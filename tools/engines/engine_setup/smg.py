"""smg, TokenSpeed's gateway, in front of servers that run already."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine_setup.environment import environment
from engine_setup.places import SetupError
from engine_setup.server import HOST, Command, Server, free_port, serving

PACKAGE = "smg==1.13.0"
TOKENIZER_S = 60.0
WORKERS_S = 60.0


def install() -> Path:
    """Its environment.

    Raises:
        SetupError: when pip can't install it.
    """
    return environment("smg", [PACKAGE])


@contextmanager
def smg(
    workers: Sequence[str], *flags: str, policy: str = "cache_aware", port: int | None = None, wait: bool = True
) -> Iterator[Server]:
    """`smg launch`, ready once it lists its workers' model.

    Args:
        workers: URLs, http:// or grpc://; gRPC ones need --model-path and --tokenizer-path, since smg tokenises then,
            HTTP ones of vLLM and of llama.cpp need --backend vllm.
        flags: further flags.
        policy: round_robin, cache_aware, random, power_of_two, consistent_hashing.
        port: to listen on; None: any free one.
        wait: for its workers; it listens before they are there.

    Raises:
        SetupError: when it can't be installed or started.
    """
    at = port or free_port()
    words: list[str | Path] = [install() / "bin" / "smg", "launch", "--host", HOST, "--port", str(at)]
    words += ["--worker-urls", *workers, "--policy", policy]
    words += ["--prometheus-host", HOST, "--prometheus-port", str(free_port()), *flags]
    ready, says = ("/v1/models", '"id"') if wait else (None, "")
    with serving("smg", Command(words=words, env={}, port=at, ready=ready, says=says)) as server:
        if wait:
            _wait_for_workers(server, len(workers))
        if wait and any(worker.startswith("grpc:") for worker in workers):
            _wait_for_tokenizer(server)
        yield server


def _wait_for_workers(server: Server, count: int) -> None:
    """Wait for the last: it lists a model as soon as its first worker has registered."""
    until = time.monotonic() + WORKERS_S
    while (found := server.get_json("/workers")["total"]) < count:
        if time.monotonic() > until:
            raise SetupError(f"smg has {found} of {count} workers after {WORKERS_S:g} s")
        time.sleep(0.05)


def _wait_for_tokenizer(server: Server) -> None:
    """Ask for a token until it comes: with gRPC workers smg lists their model before it can tokenise for it."""
    body = {"model": server.get_json("/v1/models")["data"][0]["id"], "prompt": "warm up", "max_tokens": 1}
    until = time.monotonic() + TOKENIZER_S
    while (answer := server.ask("POST", "/v1/completions", body))[0] != 200:
        if time.monotonic() > until:
            raise SetupError(f"smg can't tokenise after {TOKENIZER_S:g} s: {answer}")
        time.sleep(0.1)
