"""The engines start, serve the tiny model as it was made, and end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from replaying import Replay
from tokenizers import Tokenizer

pytestmark = pytest.mark.engine
TOOLS = Path(__file__).parents[2] / "tools" / "engines"
SERVE = TOOLS / "serve.py"
PROMPT = "import os\nfor value in range(12): print(value)"


def completion(server: Server, prompt: Any, tokens: int, name: str = "tiny") -> Any:
    body = {"model": name, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    return server.post_json("/v1/completions", body)


@pytest.mark.parametrize("engine", ["vllm", "llama_cpp"])
def test_an_engine_serves_a_replay(engine: str, request: pytest.FixtureRequest, replay: Replay) -> None:
    server: Server = request.getfixturevalue(engine)
    folder = model.folder(TinyModel())
    done = replay.completed(server, "workload=sample", "duration=8", "concurrency=2", f"tokenizer_model={folder}")
    assert done.summary["traces"]["completed"] > 0
    assert done.summary["requests"]["failed"] == 0
    ok = done.rows[done.rows.outcome == "ok"]
    assert (ok.usage_completion_tokens == ok.requested_completion_tokens).all()
    assert done.manifest["server"]["model"] == "tiny"


@pytest.mark.parametrize("engine", ["vllm", "llama_cpp"])
def test_an_answer_sent_back_as_text_becomes_the_ids_that_were_said(
    engine: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(engine)
    tokenizer = Tokenizer.from_file(str(model.folder(TinyModel()) / "tokenizer.json"))
    before = completion(server, PROMPT, 1)["usage"]["prompt_tokens"]
    said = completion(server, PROMPT, 50)["choices"][0]["text"]
    assert len(tokenizer.encode(PROMPT).ids) == before
    assert len(tokenizer.encode(PROMPT + said).ids) == before + 50
    assert completion(server, PROMPT + said, 1)["usage"]["prompt_tokens"] == before + 50


def test_the_context_of_vllm_is_that_of_a_large_model(vllm: Server) -> None:
    assert vllm.get_json("/v1/models")["data"][0]["max_model_len"] == 131_072


def test_the_same_weights_say_the_same_in_llama_cpp_and_in_transformers(
    llama_cpp: Server, transformers_serve: tuple[Server, Path]
) -> None:
    server, folder = transformers_serve
    body = {"model": str(folder), "prompt": PROMPT, "max_tokens": 16, "temperature": 0}
    found = server.post_json("/v1/completions", body)["choices"][0]["text"]
    # In float16 and in float32: rounding parts them some day, a wrong conversion at once.
    assert completion(llama_cpp, PROMPT, 16)["choices"][0]["text"].split()[:8] == found.split()[:8]


def test_a_server_ends_when_its_starter_is_killed(llama_cpp: Server) -> None:
    words = [sys.executable, str(SERVE), "llama.cpp"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        port = int(starter.stdout.readline().split("/v1")[0].rpartition(":")[2])
        assert listening(port)
        starter.send_signal(signal.SIGKILL)
    until = time.monotonic() + 15.0
    while listening(port):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert listening(llama_cpp.port)  # of another starter


def listening(port: int) -> bool:
    """Whether a process of this machine listens there."""
    return any(
        line.split()[1].endswith(f":{port:04X}")
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    )


def test_an_engine_that_can_not_be_had_skips_or_fails_the_test(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.engine\ndef test_it(llama_cpp): raise AssertionError\n"
    )
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-o",
        "markers=engine",
        str(tmp_path),
    ]
    path = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1], TOOLS)))
    given = {**os.environ, "PYTHONPATH": path, "LLAMA_SERVER": str(tmp_path / "none")}

    def ended(required: str) -> subprocess.CompletedProcess[str]:
        env = {**given, "TRIE_ENGINES_REQUIRED": required}
        return subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "1 skipped" in ended("0").stdout
    assert "1 error" in ended("1").stdout
