"""One fixture for each engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from availability import Start, had
from engine_setup.llama_cpp import llama_cpp as serving_llama_cpp
from engine_setup.server import Server
from engine_setup.smg import smg as serving_smg
from engine_setup.vllm import reset
from engine_setup.vllm import transformers_serve as serving_transformers
from engine_setup.vllm import vllm as serving_vllm
from replaying import Replay


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    """`trie` in a folder of its own."""
    return Replay(tmp_path)


@pytest.fixture(scope="session")
def one_vllm() -> Iterator[Server]:
    with ExitStack() as stack:
        yield had(stack, serving_vllm())


@pytest.fixture
def vllm(one_vllm: Server) -> Server:
    """The session's vLLM with an empty prefix cache; it takes 30 s to start, so that all tests share one."""
    reset(one_vllm)
    return one_vllm


@pytest.fixture(scope="module")
def start_vllm() -> Iterator[Start]:
    """Start further vLLMs, `engine_setup.vllm.vllm`'s arguments, until the module's tests are over."""
    with ExitStack() as stack:
        yield lambda *flags, **settings: had(stack, serving_vllm(*flags, **settings))


@pytest.fixture
def start_llama_cpp() -> Iterator[Start]:
    """Start llama.cpp's server, `engine_setup.llama_cpp.llama_cpp`'s arguments, for one test: it takes 0.2 s."""
    with ExitStack() as stack:
        yield lambda *flags, **settings: had(stack, serving_llama_cpp(*flags, **settings))


@pytest.fixture
def llama_cpp(start_llama_cpp: Start) -> Server:
    return start_llama_cpp()


@pytest.fixture
def start_smg() -> Iterator[Start]:
    """Start smg, `engine_setup.smg.smg`'s arguments, for one test: it takes half a second."""
    with ExitStack() as stack:
        yield lambda *arguments, **settings: had(stack, serving_smg(*arguments, **settings))


@pytest.fixture(scope="module")
def transformers_serve() -> Iterator[tuple[Server, Path]]:
    """`transformers serve`, and the folder of its model, which is the name to ask for."""
    with ExitStack() as stack:
        yield had(stack, serving_transformers())
