"""A setting's declaration: what it refuses, and what documentation and comparisons read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest

from trie.config import CommandConfig, RunConfig
from trie.config.setting import SECONDS, check, setting, settings_of, unmeasured
from trie.errors import ConfigError


class Color(Enum):
    red = "red"
    blue = "blue"


@dataclass
class Inner:
    share: float = setting(0.5, "a share", above=0, maximum=1)


@dataclass
class Sample:
    wait_s: float = setting(1.0, "a wait", above=0, unit=SECONDS)
    pause_s: float = setting(0.0, "a pause", minimum=0, unit=SECONDS)
    count: int | None = setting(None, "a count", minimum=1)
    level: int = setting(3, "a level", minimum=1, maximum=5, measured=False)
    speed: float = setting(1.0, "a speed", above=0)
    color: Color = setting(Color.red, "a color")
    kinds: list[str] = setting([], "some kinds", choices=("a", "b"))
    word: str = setting("x", "a word", text="a word")
    inner: Inner = setting(None, "")  # type: ignore[assignment]  # a group, not a setting

    def __post_init__(self) -> None:
        check(self, "sample.")


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"wait_s": 0.0}, "sample.wait_s=0.0: must be above 0 (seconds)"),
        ({"wait_s": math.nan}, "sample.wait_s=nan: must be above 0 (seconds)"),
        ({"wait_s": 1e9}, "sample.wait_s=1000000000.0: must be at most 100000000 (seconds)"),
        ({"pause_s": -1.0}, "sample.pause_s=-1.0: must be 0 or more (seconds)"),
        ({"pause_s": math.inf}, "sample.pause_s=inf: must be from 0 to 100000000 (seconds)"),
        ({"count": 0}, "sample.count=0: must be 1 or more"),
        ({"count": 1 << 60}, f"sample.count={1 << 60}: must be from 1 to {1 << 53}"),
        ({"level": 6}, "sample.level=6: must be from 1 to 5"),
        ({"speed": math.inf}, "sample.speed=inf: must be above 0 and finite"),
        ({"kinds": ["a", "c"]}, "sample.kinds=['a', 'c']: must be a list of a, b"),
        ({"word": ""}, "sample.word=(empty): must be a word"),
    ],
)
def test_a_value_against_its_rule_is_refused(values: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Sample(**values)
    assert str(caught.value) == error


def test_values_within_the_rules_are_taken() -> None:
    sample = Sample(wait_s=1e8, pause_s=0.0, count=None, level=5, kinds=["b", "a"])
    assert (sample.wait_s, sample.count) == (1e8, None)


def test_each_object_has_a_list_of_its_own() -> None:
    first, second = Sample(), Sample()
    first.kinds.append("a")
    assert second.kinds == []


def test_a_share_has_both_bounds_in_its_error() -> None:
    with pytest.raises(ConfigError, match=r"share=2: must be above 0 and at most 1"):
        check(Inner(2))


def test_documentation_reads_type_default_and_range_from_the_declaration() -> None:
    rows = {
        setting.key: (setting.type_name, setting.default_text, setting.allowed, setting.wanted)
        for setting in settings_of(Sample)
    }
    assert rows == {
        "wait_s": ("float", "1.0", "above 0 (seconds)", "a number above 0 (seconds)"),
        "pause_s": ("float", "0.0", "0 or more (seconds)", "a number, 0 or more (seconds)"),
        "count": ("int or null", "null", "1 or more", "a whole number, 1 or more, or null"),
        "level": ("int", "3", "from 1 to 5", "a whole number from 1 to 5"),
        "speed": ("float", "1.0", "above 0", "a number above 0"),
        "color": ("str", "red", "red, blue", "one of red, blue"),
        "kinds": ("list of str", "[]", "a, b", "a list of a, b"),
        "word": ("str", "x", "", "a word"),
        "inner.share": ("float", "0.5", "above 0 and at most 1", "a number above 0 and at most 1"),
    }
    assert unmeasured(Sample) == {"level"}


def test_every_setting_says_what_it_is() -> None:
    assert [setting.key for setting in settings_of(CommandConfig) if not setting.rule.doc] == []


def test_what_does_not_change_the_measurement_is_declared_with_the_setting() -> None:
    assert unmeasured(RunConfig) == {
        "html", "strict", "repeat", "progress", "client.priority", "limits.client_error", "limits.censored_share",
        "slo", "gpu_hour_cost", "gpu_watts", "live", "sim.measured_batch",
            "cluster.placement", "cluster.address", "cluster.wait",
    }  # fmt: skip
    of_a_sweep = {"repeats", "order", "order_seed", "pause", "rerun", "plan", "plan_json"}
    assert unmeasured(CommandConfig) == unmeasured(RunConfig) | of_a_sweep
