"""Options that no file provides, and the files that are shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from trie.cli import hydra_setup
from trie.cli.group_options import quoted
from trie.cli.typed_config import validate
from trie.config import Api, RunConfig
from trie.config.shipped_groups import CONF
from trie.errors import ConfigError

Compose = Callable[..., Any]


@pytest.fixture
def composed() -> Iterator[Compose]:
    with hydra_setup.extended(), initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        yield lambda *overrides: compose("config", overrides=list(overrides))


def valid(composed: Compose, *overrides: str) -> RunConfig:
    return validate(composed(*overrides))


def test_defaults_are_the_sample_on_the_embedded_endpoint(composed: Compose) -> None:
    config = valid(composed)
    assert (config.workload.name, config.workload.bundled) == ("sample", "sample.jsonl")
    assert (config.endpoint.name, config.endpoint.base_url) == ("sim", None)
    assert (config.concurrency.value, config.sim.profile) == (8, "default")
    assert (config.stream, config.duration, config.max_retries, config.timeout) == (True, 20.0, 2, 600.0)


def test_sample_is_short_unless_told_and_others_are_not(composed: Compose) -> None:
    assert valid(composed, "duration=7").duration == 7
    assert valid(composed, "workload=agentic").duration == 300


@pytest.mark.parametrize("number", ["1", "8", "12", "256"])
def test_concurrency_is_any_number(composed: Compose, number: str) -> None:
    assert valid(composed, f"concurrency={number}").concurrency.value == int(number)


@pytest.mark.parametrize("path", ["./mine.jsonl", "/data/my.jsonl", "mine.jsonl", "../up/mine.jsonl"])
@pytest.mark.parametrize("key", ["workload", "workload_path"])
def test_workload_is_any_path(composed: Compose, key: str, path: str) -> None:
    config = valid(composed, f"{key}={path}")
    assert (config.workload.name, config.workload.path) == (Path(path).stem, path)


def test_plain_path_is_a_path_even_where_a_shipped_option_has_the_same_name(composed: Compose) -> None:
    assert valid(composed, "workload=./agentic").workload.path == "./agentic"
    assert valid(composed, "workload=../endpoint/sim").workload.path == "../endpoint/sim"
    assert valid(composed, "workload=agentic").workload.hub_file == "agentic_coding_8k.jsonl"


def test_endpoint_is_any_url_and_loses_a_slash_at_its_end(composed: Compose) -> None:
    config = valid(composed, "endpoint=http://host:8000/v1/")
    assert (config.endpoint.name, config.endpoint.base_url) == ("custom", "http://host:8000/v1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "accounts/a/models/b#accounts/a/deployments/c"),
        ("model", "qwen3:8b"),
        ("model", "@cf/meta/some-8b"),
        ("model", "/models/My Model/a=b.gguf"),
        ("tokenizer_model", "./a#b"),
        ("endpoint.base_url", "https://h/openai/deployments/d?api-version=2024-10-21&x=1"),
    ],
)
def test_names_paths_and_urls_need_no_quotes(composed: Compose, key: str, value: str) -> None:
    for typed in (value, f"'{value}'", f'"{value}"'):
        assert OmegaConf.select(composed(f"{key}={typed}"), key) == value


def test_a_url_with_a_query_is_an_endpoint(composed: Compose) -> None:
    url = "http://h/openai/deployments/d?api-version=2024-10-21"
    assert valid(composed, f"endpoint={url}").endpoint.base_url == url


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("model=a#b,c", "model='a#b',c"),
        ("model=choice(a#b,c)", "model=choice(a#b,c)"),
        ("model=${oc.env:M}=", "model=${oc.env:M}="),
        ("duration=a#b", "duration=a#b"),
    ],
)
def test_only_what_is_a_name_is_quoted(typed: str, expected: str) -> None:
    assert quoted(typed) == expected


def test_flat_form_of_the_reference(composed: Compose) -> None:
    line = (
        "workload_path=agentic endpoint=http://localhost:8000/v1 model=M tokenizer_model=M "
        "concurrency=8 duration=180 stream=True num_gpus=4 seed=1 max_retries=3 timeout=60"
    )
    config = valid(composed, *line.split())
    assert (config.workload.name, config.workload.hub_file) == ("agentic", "agentic_coding_8k.jsonl")
    assert (config.model, config.tokenizer_model, config.num_gpus) == ("M", "M", 4)
    assert (config.seed, config.max_retries, config.timeout) == (1, 3, 60)


@pytest.mark.parametrize("group", ["workload", "endpoint", "concurrency", "profile", "experiment"])
def test_every_shipped_option_composes_to_an_allowed_config(composed: Compose, group: str) -> None:
    names = [file.stem for file in sorted((CONF / group).glob("*.yaml"))]
    assert names
    for name in names:
        valid(composed, f"{group}={name}")


def test_cloud_endpoint_speaks_chat(composed: Compose) -> None:
    endpoint = valid(composed, "endpoint=openai").endpoint
    assert (endpoint.api, endpoint.ignore_eos, endpoint.max_tokens_field) == (Api.chat, None, "max_completion_tokens")


def test_profile_named_null_is_an_option_and_no_null(composed: Compose) -> None:
    assert valid(composed, "profile=null").sim.profile == "null"


def test_experiment_is_any_yaml_file_and_the_command_line_wins(composed: Compose, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("duration: 9\nconcurrency: {value: 5}\n")
    config = valid(composed, f"experiment={file}", "duration=4")
    assert (config.duration, config.concurrency.value) == (4, 5)


def test_headers_take_names_of_their_own(composed: Compose) -> None:
    assert valid(composed, "+endpoint.headers.X-Team=a").endpoint.headers == {"X-Team": "a"}


def test_headers_and_fields_are_set_without_a_word_that_they_are_new(composed: Compose) -> None:
    endpoint = valid(
        composed, "endpoint=llamacpp", "endpoint.headers.X-Team=a", "endpoint.extra_body.temperature=0"
    ).endpoint
    assert endpoint.headers == {"X-Team": "a"}
    assert endpoint.extra_body["temperature"] == 0


@pytest.mark.parametrize("key", ["foo", "workload.foo", "sim.foo"])
def test_added_keys_that_nothing_reads_are_refused(composed: Compose, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: no such key"):
        valid(composed, f"+{key}=1")


def test_fingerprint_changes_with_what_is_measured_and_only_with_that(composed: Compose) -> None:
    def fingerprint(*overrides: str) -> str:
        cfg = composed(*overrides)
        text = "${fingerprint:}"
        return str(OmegaConf.create({**cfg, "hydra": text}).hydra)

    assert fingerprint() == fingerprint("progress=none", "strict=true")
    assert fingerprint() != fingerprint("duration=21")
    url = "endpoint=http://host/v1"
    assert fingerprint(url) == fingerprint(url, "profile=fast")
    assert fingerprint() != fingerprint("profile=fast")
    assert fingerprint("concurrency=16") != fingerprint("concurrency=17")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("mine", "mine"), ("my file (2)", "my-file-2"), ("../x", "x"), ("a/b:c", "a-b-c"), ("..", "unnamed")],
)
def test_slug_is_one_harmless_name(text: str, expected: str) -> None:
    assert hydra_setup.slug(text) == expected
