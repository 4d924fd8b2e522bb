"""What the command line composes, in this process or a bare one: groups, defaults, help, completion, imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from trie.cli import options
from trie.cli.app import CONF
from trie.cli.errors import keys
from trie.cli.task import validate
from trie.config import RunConfig, WorkloadConfig
from trie.workload.names import NAMED

options.install()
HEAVY = {"transformers", "pandas", "pyarrow", "aiohttp", "rich", "huggingface_hub", "numpy", "uvloop", "orjson"}


def composed(*overrides: str) -> RunConfig:
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


def run(*arguments: str, **extra: str) -> str:
    command = [sys.executable, "-m", "trie", *arguments]
    done = subprocess.run(command, env={**os.environ, **extra}, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_defaults_are_the_references() -> None:
    config = composed("workload=agentic")
    assert (config.concurrency.value, config.duration, config.stream, config.seed) == (8, 300.0, True, None)
    assert (config.max_retries, config.timeout, config.num_gpus, config.tokenizer_model) == (2, 600.0, None, None)
    assert config.endpoint.api_key_env == "OPENAI_API_KEY"


def test_the_sample_is_short_unless_told_otherwise() -> None:
    assert composed().duration == 20.0
    assert composed("duration=99").duration == 99.0


@pytest.mark.parametrize("name", NAMED)
def test_files_and_the_python_api_name_the_same_workloads(name: str) -> None:
    assert composed(f"workload={name}").workload == NAMED[name]()
    assert sorted(path.stem for path in (CONF / "workload").glob("*.yaml")) == sorted(NAMED)


@pytest.mark.parametrize(
    "override",
    [f"{path.parent.name}={path.stem}" for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name != "sweep"],
)
def test_every_shipped_option_composes(override: str) -> None:
    composed(override)


def test_open_options() -> None:
    config = composed("workload=../data/x.jsonl", "endpoint=http://h:8000/v1/", "concurrency=12")
    assert config.workload == WorkloadConfig(name="x", path="../data/x.jsonl")
    assert (config.endpoint.base_url, config.concurrency.value) == ("http://h:8000/v1", 12)
    assert composed("workload_path=qa").workload.name == "qa"


def test_the_full_sweep_is_the_methodologys() -> None:
    sweep = yaml.safe_load((CONF / "sweep" / "full.yaml").read_text())
    assert sweep["duration"] == 7200
    assert sweep["hydra"]["sweeper"]["params"] == {
        "workload": "agentic,qa,office", "concurrency": "8,16,24,32,40,48",
    }  # fmt: skip


def test_a_changed_setting_is_another_fingerprint() -> None:
    def fingerprint(*overrides: str) -> str:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            config = compose("config", overrides=list(overrides), return_hydra_config=True)
        return str(OmegaConf.to_container(config.hydra.sweep, resolve=True)["subdir"])  # type: ignore[index,call-overload]

    assert fingerprint("concurrency=8") == fingerprint()
    assert fingerprint("timeout=9") != fingerprint()
    assert fingerprint().startswith("sample-c8-")


def test_help_names_commands_groups_and_keys() -> None:
    text = run("--help")
    for part in ("trie report RUN_DIR", "trie sim", "workload: agentic", "api_key=", "trie -sc install=bash"):
        assert part in text
    assert "num_gpus: null" in text
    assert "sample" in run("--info", "defaults")
    assert run("--version").startswith("trie ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [("trie workload=age", "workload=agentic"), ("trie concurrency=12 dur", "duration="), ("trie endpoi", "endpoint=")],
)
def test_tab_completes(line: str, expected: str) -> None:
    assert "complete" in run("-sc", "install=bash")
    text = run("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert expected in text.split()


def test_the_command_line_starts_light() -> None:
    code = (
        "import sys; sys.argv = ['trie', '--cfg', 'job']; from trie.cli.app import run; run(sys.argv[1:]);"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    config, _, loaded = done.stdout.partition("LOADED")
    assert "concurrency:" in config
    assert not HEAVY & set(loaded.split())


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    missing = [key for key in keys() if f"`{key}`" not in text]
    assert not missing
