"""The embedded endpoint as a process: it starts, says where, and never outlives who started it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

import trie
from trie.child_process import child_environment
from trie.config import SimConfig
from trie.errors import EndpointError
from trie.sim import process as sim_process
from trie.sim.process import embedded

ENV = {**os.environ, "PYTHONPATH": str(Path(trie.__file__).parents[1])}
UVLOOP_OR_NOT = ["asyncio.run", "__import__('uvloop').run"]


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].removesuffix("/v1"))


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def ends_listening(port: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while listening(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def noted_processes(monkeypatch) -> list[asyncio.subprocess.Process]:
    """A list that every process started from now on is put in."""
    started: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def noting(*args, **kwargs) -> asyncio.subprocess.Process:
        started.append(await create(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noting)
    return started


async def models(url: str) -> dict:
    async with aiohttp.ClientSession() as http, http.get(url + "/models") as response:
        return await response.json()


async def test_it_serves_with_the_settings_given_and_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    async with embedded(SimConfig(model="given", max_model_len=999)) as url:
        assert url.endswith("/v1")
        listed = (await models(url))["data"][0]
    assert (listed["id"], listed["max_model_len"]) == ("given", 999)
    assert not listening(port_of(url))


async def test_files_where_the_user_stands_are_not_taken_for_modules(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('not mine')")
    monkeypatch.chdir(tmp_path)
    async with embedded(SimConfig(model="given")) as url:
        assert (await models(url))["data"][0]["id"] == "given"


async def test_a_second_cancellation_ends_it_at_once(monkeypatch):
    monkeypatch.setattr(sim_process, "END_S", 60.0)
    started = noted_processes(monkeypatch)
    urls: list[str] = []

    async def use() -> None:
        async with embedded(SimConfig()) as url:
            started[0].send_signal(signal.SIGSTOP)  # it can't end the polite way
            urls.append(url)
            await asyncio.sleep(60)

    task = asyncio.ensure_future(use())
    while not urls:  # noqa: ASYNC110 - a list has no event
        await asyncio.sleep(0.01)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert not listening(port_of(urls[0]))


async def test_it_is_gone_after_an_error_in_the_block():
    with pytest.raises(ZeroDivisionError):
        async with embedded(SimConfig()) as url:
            raise ZeroDivisionError
    assert not listening(port_of(url))


async def test_it_is_gone_after_a_cancellation_even_with_a_request_in_flight():
    seen: list[str] = []

    async def use() -> None:
        async with embedded(SimConfig(decode_base_s=30.0)) as url, aiohttp.ClientSession() as http:
            body = {"model": "sim", "prompt": " the", "max_tokens": 9, "stream": True}
            async with http.post(url + "/completions", json=body) as response:
                await response.content.readany()
                seen.append(url)
                await asyncio.sleep(60)

    task = asyncio.ensure_future(use())
    async with asyncio.timeout(10):
        while not seen:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not listening(port_of(seen[0]))


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.1])
async def test_a_cancellation_while_it_starts_leaves_no_process(delay_s, monkeypatch):
    started = noted_processes(monkeypatch)

    async def use() -> None:
        async with embedded(SimConfig()):
            await asyncio.sleep(60)

    task = asyncio.ensure_future(use())
    await asyncio.sleep(delay_s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(process.returncode is not None for process in started)


async def test_settings_that_it_refuses_are_one_line_of_its_own_words(tmp_path):
    with pytest.raises(EndpointError, match=r"did not start: .*tokenizer\.json") as raised:
        async with embedded(SimConfig(tokenizer=str(tmp_path))):
            pass
    assert "\n" not in str(raised.value)


async def test_one_that_says_nothing_is_given_up_and_ended(monkeypatch):
    monkeypatch.setattr(sim_process, "START_S", 0.001)
    with pytest.raises(EndpointError, match=r"nothing within 0\.001 s"):
        async with embedded(SimConfig()):
            pass


async def test_it_is_told_no_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    assert not [value for value in child_environment().values() if "-secret" in value]


@pytest.mark.parametrize("runner", UVLOOP_OR_NOT)
def test_it_ends_when_its_parent_is_killed(runner, tmp_path):
    if "uvloop" in runner:
        pytest.importorskip("uvloop")
    code = (
        "import asyncio\nfrom trie.config import SimConfig\nfrom trie.sim.process import embedded\n"
        "async def main():\n  async with embedded(SimConfig()) as url:\n"
        f"    print(url, flush=True)\n    await asyncio.sleep(60)\n{runner}(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=ENV, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        port = port_of(parent.stdout.readline().decode().strip())
        assert listening(port)
        parent.kill()
    assert ends_listening(port)


def child() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "trie.sim.server"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)


def test_as_a_child_it_passes_over_sigint_and_ends_on_sigterm():
    with child() as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(b'{"model": "m"}\n')
        server.stdin.flush()
        port = json.loads(server.stdout.readline())["port"]
        server.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert listening(port)
        server.send_signal(signal.SIGTERM)
        assert server.wait(5) == 0


@pytest.mark.parametrize("line", [b"", b"nonsense\n", b"[1]\n", b'{"unknown": 1}\n', b'{"fault_rate": 3}\n'])
def test_as_a_child_it_refuses_bad_settings_in_one_line(line):
    with child() as server:
        _, said = server.communicate(line, timeout=10)
    assert server.returncode == 1
    assert len(said.decode().strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_server_of_its_own_it_says_where_it_is_and_ends_on_a_signal(number):
    code = "from trie.config import SimConfig\nfrom trie.sim.server import run\nrun(SimConfig(model='m'), 0)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=ENV) as server:
        assert server.stdout is not None
        line = server.stdout.readline().decode()
        assert line.startswith("listening on http://127.0.0.1:")
        assert "/v1 model=m" in line
        assert listening(port_of(line.split()[2]))
        server.send_signal(number)
        assert server.wait(5) == 0


def test_it_loads_nothing_heavy():
    heavy = "{'transformers', 'tokenizers', 'pandas', 'pyarrow', 'numpy', 'hydra', 'omegaconf', 'rich'}"
    code = f"import sys, trie.sim.server, trie.sim.process\nassert not {heavy} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, env=ENV)
