"""manifest.json as typed objects: there and back, other versions' keys, and what can't be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.manifests import manifest

from trie.errors import RunDirError
from trie.storage.manifest import Manifest
from trie.storage.run_dir import MANIFEST, RunDir

OLD: dict[str, Any] = {  # the least that any version wrote
    "config": {"concurrency": {"value": 3}, "duration": 60.0, "endpoint": {"api": "chat"}},
    "workload": {"name": "w", "traces": 1, "synthetic": False},
    "server": {"base_url": "http://h/v1", "embedded": False, "model": "m"},
    "seed": 7,
    "started": {"wall_clock": "", "unix_s": 1.0},
    "end": None,
}


def test_there_and_back() -> None:
    typed = manifest(
        prompts={"template": {"first_tokens": 2, "per_turn_tokens": 3}}, server={"rtt": {"get_min_s": 0.1}}
    )
    content = json.loads(json.dumps(typed.to_json()))
    assert Manifest.from_json(content) == typed
    assert Manifest.from_json(content).to_json() == content


def test_an_older_versions_manifest_gets_defaults() -> None:
    old = Manifest.from_json(OLD)
    assert (old.end, old.server.dialect, old.prompts.form, old.workload.skipped_too_long) == (None, None, "text", 0)
    settings = old.settings
    assert (settings.concurrency.value, settings.endpoint.api, settings.stream) == (3, "chat", True)
    assert settings.limits.failure_rate == 0.05


def test_a_newer_versions_keys_are_kept(tmp_path: Path) -> None:
    newer = {**OLD, "clock": "sundial", "server": {**OLD["server"], "colour": "red"}}
    (tmp_path / MANIFEST).write_text(json.dumps(newer))
    run = RunDir.open(tmp_path)
    run.write_manifest(run.manifest())
    written = json.loads((tmp_path / MANIFEST).read_text())
    assert (written["clock"], written["server"]["colour"]) == ("sundial", "red")
    assert written["config"] == OLD["config"]


def test_a_section_by_its_key_is_plain_json() -> None:
    assert manifest()["server"]["model"] == "m"


@pytest.mark.parametrize(
    ("content", "lacks"),
    [({}, "'config'"), ({**OLD, "server": 3}, "Server is no JSON object"), ({**OLD, "end": {}}, "'reason'")],
)
def test_what_is_no_manifest_is_one_line(tmp_path: Path, content: dict[str, Any], lacks: str) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(RunDirError, match=r"manifest\.json: lacks what a run writes: ") as caught:
        RunDir.open(tmp_path).manifest()
    assert str(caught.value).endswith(lacks)
