"""The Python API: light to import, complete, and the same run as the command line's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trie
from trie import Client, TrieError
from trie.config import Api, EndpointConfig
from trie.errors import ConfigError
from trie.metrics.checks.check import Check

HEAVY = {"transformers", "pandas", "pyarrow", "aiohttp", "hydra", "omegaconf", "rich", "numpy", "huggingface_hub"}
ROWS: list[dict[str, Any]] = [
    {
        "num_turns": 1,
        "input_prompt_length": 40,
        "assistant_response_length": [3],
        "tool_call_output_length": [5],
        "tool_call_latency": [0.01],
        "final_assistant_response_length": 4,
    }
]


def test_importing_trie_loads_nothing_heavy() -> None:
    code = "import sys, trie; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_all_names_are_there() -> None:
    assert {name: getattr(trie, name) for name in trie.__all__}
    assert "Client" in dir(trie)
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        trie.Clint  # noqa: B018


def test_settings_are_reached_through_the_package_alone() -> None:
    """As README has it: nothing imports trie.config by name."""
    code = "import trie; print(trie.config.EndpointConfig(base_url='http://h/v1', api=trie.config.Api.chat).base_url)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "http://h/v1\n"


@pytest.mark.slow
def test_the_documented_use_is_typed(tmp_path: Path) -> None:
    file = tmp_path / "use.py"
    file.write_text(
        "import trie\n"
        "client = trie.Client(trie.config.EndpointConfig(base_url='http://h/v1', api=trie.config.Api.chat))\n"
        "reveal_type(client)\n"
        "reveal_type(client.sync_run('sample', concurrency=8).summary.valid)\n"
        "trie.config.EndpointConfig(base_url=3)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(file)]
    done = subprocess.run(command, cwd=Path(trie.__file__).parents[1], capture_output=True, text=True, check=False)
    lines = [line.partition("use.py:")[2] for line in done.stdout.splitlines()]
    assert lines[0] == '3: note: Revealed type is "trie.api.Client"'
    assert lines[1].removesuffix('"').endswith("bool")
    assert lines[2].startswith('5: error: Argument "base_url" to "EndpointConfig" has incompatible type "int"')
    assert lines[3] == ""


def test_sync_run_of_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = Client().sync_run(ROWS, concurrency=2, duration=0.5, num_gpus=2, directory=tmp_path / "r", progress="none")
    assert result.summary.traces["completed"] > 0
    assert list(result.rows.columns)[:3] == ["trace_id", "session_id", "slot"]
    assert (result.rows.suspect == (result.rows.loop_lag_s > 0.005)).all()
    assert (result.directory / "summary.json").exists()
    assert "Per-trace metrics" in capsys.readouterr().out


async def test_run_inside_a_loop(tmp_path: Path) -> None:
    client = Client()
    result = await client.run(ROWS, concurrency=1, duration=0.5, directory=tmp_path / "r", progress="none", show=False)
    assert result.manifest["workload"]["name"] == "custom"
    with pytest.raises(RuntimeError):
        client.sync_run(ROWS, concurrency=1)


def test_all_settings_of_an_endpoint(tmp_path: Path) -> None:
    client = Client(EndpointConfig(api=Api.chat, extra_body={"temperature": 0}))
    result = client.sync_run(ROWS, concurrency=1, duration=0.5, directory=tmp_path / "r", progress="none", show=False)
    endpoint = result.manifest["config"]["endpoint"]
    assert (endpoint["api"], endpoint["extra_body"]) == ("chat", {"temperature": 0})
    assert result.manifest["prompts"]["template"] is not None


def test_mistakes_are_errors_of_one_tree(tmp_path: Path) -> None:
    assert issubclass(ConfigError, TrieError)
    with pytest.raises(ConfigError, match=r"endpoint=nonsense: no such endpoint; available: .*, or a URL"):
        Client(endpoint="nonsense")
    with pytest.raises(ConfigError, match="concurrency=0"):
        Client().sync_run(ROWS, concurrency=0, directory=tmp_path)
    with pytest.raises(ConfigError, match="progress=loud"):
        Client().sync_run(ROWS, concurrency=1, directory=tmp_path, progress="loud")


def test_a_client_does_not_show_its_key() -> None:
    assert "sk-1" not in repr(Client(api_key="sk-1"))


def test_a_checks_title_answers_to_its_former_name() -> None:
    check = Check("client_on_time", "error", ok=True, title="the client was on time", found="", advice="")
    assert check.check == check.title == check.to_json()["check"]
