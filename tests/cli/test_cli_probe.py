"""`trie probe` as typed."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Command, Endpoint


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


def test_what_is_not_usable_is_one_line(module: Command) -> None:
    nobody, wrong = module("probe", "endpoint=http://127.0.0.1:9/v1"), module("probe", "endpont=x")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert nobody.stderr.splitlines()[-1].endswith(
        "Connection refused; is the server running, and is this its address?"
    )
    assert (wrong.returncode, wrong.stderr) == (1, "trie: endpont: no such key; did you mean endpoint?\n")
