"""The JSON schema of configuration files against the files themselves and a library of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from trie.config.json_schema import json_schema
from trie.config.shipped_groups import CONF
from trie.errors import ConfigError

jsonschema = pytest.importorskip("jsonschema")

GROUPS = ("cluster", "concurrency", "endpoint", "experiment", "load", "profile", "search", "sweep", "workload")
FILES = sorted(path for group in GROUPS for path in (Path(CONF) / group).glob("*.yaml"))
STARTER = sorted((Path(__file__).parents[2] / "trie/cli/starter/conf").rglob("*.yaml"))


def errors(content: Any, group: str = "") -> list[str]:
    """What the library has against a file's content."""
    return [error.message for error in jsonschema.Draft202012Validator(json_schema(group)).iter_errors(content)]


def package(path: Path) -> str:
    """The group whose settings a file holds; empty for one of a whole run."""
    match = re.search(r"# @package (\w+)", path.read_text())
    name = match[1] if match else path.parent.name
    return "" if name == "_global_" else name


def test_the_shipped_files_and_the_starters_are_valid() -> None:
    assert len(FILES) > 30
    assert len(STARTER) >= 4
    for path in (*FILES, *STARTER, Path(CONF) / "config.yaml"):
        group = "" if path.name == "config.yaml" else package(path)
        assert errors(yaml.safe_load(path.read_text()) or {}, group) == [], path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"durations": 3}, "'durations' was unexpected"),
        ({"duration": 0}, "0 is less than or equal to the minimum of 0"),
        ({"duration": "long"}, "'long' is not of type 'number'"),
        ({"concurrency": {"value": 1_000_001}}, "1000001 is greater than the maximum of 1000000"),
        ({"progress": "loud"}, "'loud' is not one of ['auto', 'rich', 'plain', 'none']"),
        ({"num_gpus": 0}, "0 is less than the minimum of 1"),
        ({"sim": {"faults": ["fire"]}}, "'fire' is not one of"),
    ],
)
def test_mistakes_are_marked(content: Any, message: str) -> None:
    (found,) = errors(content)
    assert message in found


def test_a_setting_has_its_meaning_and_null_where_it_may_be_missing() -> None:
    schema = json_schema()["properties"]
    assert schema["duration"]["description"].endswith("everything in flight is cancelled (seconds)")
    assert schema["num_gpus"]["type"] == ["integer", "null"]
    assert errors({"num_gpus": None}) == []


def test_a_group_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="endpont: no such group of settings; did you mean endpoint"):
        json_schema("endpont")
