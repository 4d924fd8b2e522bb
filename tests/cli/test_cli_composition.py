"""What the command line composes, in this process or a bare one: groups, defaults, help, completion, imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from trie.cli import hydra_setup
from trie.cli.errors import explain, settings
from trie.cli.typed_config import validate
from trie.config import RunConfig, WorkloadConfig
from trie.config.shipped_groups import CONF, endpoint_named_or_at, names, workload_named_or_at
from trie.errors import ConfigError

HEAVY = {"transformers", "pandas", "pyarrow", "aiohttp", "rich", "huggingface_hub", "numpy", "uvloop", "orjson"}


def composed(*overrides: str) -> RunConfig:
    with hydra_setup.extended(), initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


def test_defaults_are_the_references() -> None:
    config = composed("workload=agentic")
    assert (config.concurrency.value, config.duration, config.stream, config.seed) == (8, 300.0, True, None)
    assert (config.max_retries, config.timeout, config.num_gpus, config.tokenizer_model) == (2, 600.0, None, None)
    assert config.endpoint.api_key_env == "OPENAI_API_KEY"


def test_the_sample_is_short_unless_told_otherwise() -> None:
    assert composed().duration == 20.0
    assert composed("duration=99").duration == 99.0


@pytest.mark.parametrize("name", names("workload"))
def test_files_and_the_python_api_name_the_same_workloads(name: str) -> None:
    assert composed(f"workload={name}").workload == workload_named_or_at(name)


@pytest.mark.parametrize(
    "override",
    [f"{path.parent.name}={path.stem}" for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name != "sweep"],
)
def test_every_shipped_option_composes(override: str) -> None:
    limits = ["slo=failed<1%"] if override == "search=capacity" else []  # which a search takes
    composed(override, *limits)


@pytest.mark.parametrize("name", names("endpoint"))
def test_files_and_the_python_api_name_the_same_endpoints(name: str) -> None:
    assert composed(f"endpoint={name}").endpoint == endpoint_named_or_at(name)


@pytest.mark.parametrize("text", ["./agentic", "x.jsonl", "a/b", "../x", "traces"])
def test_the_command_line_and_the_python_api_agree_on_what_a_path_is(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traces").touch()  # no ending, but a file
    assert composed(f"workload={text}").workload == workload_named_or_at(text)
    assert workload_named_or_at(text).path == text


@pytest.mark.parametrize("text", ["http://h:1/v1", "HTTPS://h/v1"])
def test_the_command_line_and_the_python_api_agree_on_what_a_url_is(text: str) -> None:
    assert composed(f"endpoint={text}").endpoint == endpoint_named_or_at(text)
    assert endpoint_named_or_at(text).base_url == text


@pytest.mark.parametrize(
    ("group", "text", "rule"),
    [
        ("workload", "agentc", workload_named_or_at),
        ("workload", "README", workload_named_or_at),
        ("endpoint", "vlm", endpoint_named_or_at),
        ("endpoint", "localhost:8000", endpoint_named_or_at),
    ],
)
def test_the_command_line_and_the_python_api_refuse_a_text_in_the_same_words(
    group: str, text: str, rule: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as of_the_api:
        rule(text)
    with pytest.raises(HydraException) as of_the_command_line:
        composed(f"{group}={text}")
    assert explain(of_the_command_line.value) == str(of_the_api.value)


def test_a_password_in_a_text_that_is_no_url_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"endpoint\.base_url=\(hidden\)"):
        endpoint_named_or_at("ftp://user:pw@h/v1")


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
        with hydra_setup.extended(), initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            config = compose("config", overrides=list(overrides), return_hydra_config=True)
        return str(OmegaConf.to_container(config.hydra.sweep, resolve=True)["subdir"])  # type: ignore[index,call-overload]

    assert fingerprint("concurrency=8") == fingerprint()
    assert fingerprint("timeout=9") != fingerprint()
    assert fingerprint().startswith("sample-c8-")


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    missing = [key for key in settings() if f"`{key}`" not in text]
    assert not missing
