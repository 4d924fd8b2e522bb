"""smg, TokenSpeed's gateway, in front of servers that run already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine_setup.environment import environment
from engine_setup.server import HOST, Command, Server, free_port, serving

PACKAGE = "smg==1.13.0"


def install() -> Path:
    """Its environment.

    Raises:
        SetupError: when pip can't install it.
    """
    return environment("smg", [PACKAGE])


@contextmanager
def smg(workers: Sequence[str], *flags: str, policy: str = "cache_aware", port: int | None = None) -> Iterator[Server]:
    """`smg launch`, ready once it lists its workers' model.

    Args:
        workers: URLs, http:// or grpc://; gRPC ones need --model-path and --tokenizer-path, since smg tokenises then,
            HTTP ones of vLLM need --backend vllm.
        flags: further flags.
        policy: round_robin, cache_aware, random, power_of_two, consistent_hashing.
        port: to listen on; None: any free one.

    Raises:
        SetupError: when it can't be installed or started.
    """
    at = port or free_port()
    words: list[str | Path] = [install() / "bin" / "smg", "launch", "--host", HOST, "--port", str(at)]
    words += ["--worker-urls", *workers, "--policy", policy]
    words += ["--prometheus-host", HOST, "--prometheus-port", str(free_port()), *flags]
    with serving("smg", Command(words=words, env={}, port=at, ready="/v1/models", says='"id"')) as server:
        yield server
