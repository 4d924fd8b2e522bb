"""docs/checks.md says of every check when it fails, and names every limit with its default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from trie.config import LimitsConfig
from trie.metrics.verdict import CONDITIONS

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
RULES = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", PAGE.partition("## Why")[0], re.MULTILINE))


def test_every_check_has_its_rule_in_the_order_of_the_report() -> None:
    assert list(RULES) == [condition.id for condition in CONDITIONS]


def test_every_limit_stands_there_with_its_default() -> None:
    for limit in fields(LimitsConfig):
        stated = re.findall(rf"`limits\.{limit.name}` \(([\d.]+)\)", PAGE)
        assert [float(number) for number in stated] == [limit.default], limit.name
