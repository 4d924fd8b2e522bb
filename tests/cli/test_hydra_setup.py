"""What is changed in Hydra can be changed and is restored; a new Hydra that differs is named in one sentence."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser, run_and_report
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn

from trie.cli import hydra_setup

WRAPPED = {
    "trie.cli.group_options.numbers_as_names": (OverridesParser, "parse_overrides", ["self", "overrides"]),
    "trie.cli.hydra_setup.our_sweeper": (
        Plugins,
        "instantiate_sweeper",
        ["self", "hydra_context", "task_function", "config"],
    ),
    "trie.cli.config_guard.guarded": (
        ConfigLoaderImpl,
        "load_configuration",
        ["self", "config_name", "overrides", "run_mode", "from_shell", "validate_sweep_overrides"],
    ),
}


@pytest.mark.parametrize("user", WRAPPED)
def test_hydra_has_the_methods_that_are_wrapped(user: str) -> None:
    owner, name, expected = WRAPPED[user]
    method = getattr(owner, name, None)
    assert method is not None, f"this Hydra has no {owner.__name__}.{name}, which {user} wraps: find its successor"
    parameters = list(inspect.signature(method).parameters)
    assert parameters == expected, f"{owner.__name__}.{name} takes {parameters} now: adapt {user}"


@pytest.mark.parametrize("user", WRAPPED)
def test_methods_are_wrapped_for_the_time_being(user: str) -> None:
    owner, name, _ = WRAPPED[user]
    before: Any = getattr(owner, name)
    with hydra_setup.extended():
        assert getattr(owner, name) is not before
        with hydra_setup.extended():
            pass
        assert getattr(owner, name) is not before
    assert getattr(owner, name) is before


def test_hydra_looks_for_its_sweeper_under_the_name_that_is_replaced() -> None:
    name = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
    assert name == hydra_setup.BASIC_SWEEPER, f"Hydra's sweeper is {name} now: adapt trie.cli.hydra_setup.BASIC_SWEEPER"


def test_hydra_still_refuses_a_number_for_a_group_and_keeps_values_where_they_are_replaced() -> None:
    [override] = OverridesParser.create().parse_overrides(["concurrency=8"])
    assert override._value == 8, "Override._value is no longer the parsed value: adapt trie.cli.group_options._adapt"
    assert override.type is OverrideType.CHANGE
    assert {"key_or_group", "type", "_value"} <= set(Override.__dataclass_fields__)


def test_hydra_raises_its_errors_on_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("mine")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="mine"):
        run_and_report(fail)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit):  # else trie.cli.hydra_app._errors_raised has nothing left to do, and goes
        run_and_report(fail)


def test_private_parts_that_are_read_are_there() -> None:
    flags = get_args_parser()
    assert isinstance(flags, argparse.ArgumentParser), "trie.cli.hydra_app tries Hydra's flags with its own parser"
    assert flags.parse_args(["-m", "a=1"]).overrides == ["a=1"]
    assert "_return_value" in JobReturn.__dataclass_fields__, "trie.cli.sweeper reads JobReturn._return_value"
    assert flags._actions, "trie.cli.completion reads ArgumentParser._actions"
