"""`trie probe` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.command_line import Command, Endpoint

from trie.cli.compose import composed
from trie.errors import TrieError


def test_the_embedded_endpoint_without_arguments(module: Command, tmp_path: Path) -> None:
    done = module("probe")
    assert done.returncode == 0
    assert done.stdout.startswith("server     embedded endpoint (simulated), completions\ndialect    sim ")
    assert "[info ] model sim, context 262144 tokens" in done.stderr
    assert not list(tmp_path.iterdir())


def test_json_settings_and_a_key_that_goes_nowhere_else(module: Command, endpoint: Endpoint) -> None:
    done = module("probe", f"endpoint={endpoint.url}", "model=M", "--json", "api_key=sk-marker-4711", "workload=sample")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["server"]["model"], found["server"]["dialect"]["found"]) == ("M", None)
    assert "Bearer sk-marker-4711" in endpoint.authorizations
    assert "sk-marker" not in done.stdout + done.stderr


def test_its_settings_are_those_of_a_run(tmp_path: Path) -> None:
    own = tmp_path / "endpoint"
    own.mkdir()
    (own / "mine.yaml").write_text("name: mine\nbase_url: http://h:1/v1\n")
    config = composed(["endpoint=mine", "warm_up=3", "concurrency=4"], tmp_path)
    assert (config.endpoint.base_url, config.warm_up, config.concurrency.value) == ("http://h:1/v1", 3, 4)
    with pytest.raises(TrieError, match=r"endpont: no such key; did you mean endpoint\?"):
        composed(["endpont=x"])
