"""The profiles are settings that hold, and the page names everything there is."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from trie.config import FAULTS, SimConfig

ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "conf" / "profile").glob("*.yaml"))
PAGE = (ROOT / "docs" / "simulator.md").read_text("utf-8")


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_a_profile_sets_fields_of_the_simulator_and_says_its_name(file):
    text = file.read_text("utf-8")
    assert text.startswith("# @package sim\n# ")
    config = SimConfig(**yaml.safe_load(text))
    assert config.profile == file.stem
    assert f"| `{file.stem}` |" in PAGE


def test_the_default_profile_is_the_schema_and_the_faulty_one_has_every_fault():
    by_name = {file.stem: SimConfig(**yaml.safe_load(file.read_text("utf-8"))) for file in PROFILES}
    assert by_name["default"] == SimConfig()
    assert set(by_name["faulty"].faults) == set(FAULTS)
    assert {"default", "null", "fast", "slow", "gpu", "faulty"} == set(by_name)


def test_the_page_states_every_setting_with_its_default_and_every_fault():
    shown = {True: "true", False: "false", None: "null"}
    for field in fields(SimConfig):
        value = getattr(SimConfig(), field.name)
        text = shown[value] if isinstance(value, bool | None) else f"{value:g}" if isinstance(value, float) else value
        assert f"| `{field.name}` | {text} |" in PAGE
    assert [fault for fault in FAULTS if f"`{fault}`" not in PAGE] == []
