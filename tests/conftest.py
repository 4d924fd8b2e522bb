"""What tests share: small real things, no mocks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from helpers.bounds import AtMost, held_to, not_held_to
from helpers.command_line import HERE_AND_IN_A_PROCESS, Command, in_a_process, in_this_process
from helpers.simulator import Serve

from trie.config import SimConfig
from trie.sim.server import serve


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's own
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Three processes share the whole default tier, which waits for half of its time.

    Chosen tests, and tiers that hold tests to a time, have one.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and "not slow" in config.option.markexpr
    free = config.pluginmanager.hasplugin("xdist") and "PYTEST_XDIST_WORKER" not in os.environ
    if whole and free and config.option.numprocesses is None and not config.option.usepdb:
        config.option.numprocesses, config.option.dist = 3, "loadfile"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that is slow in itself runs its commands in processes of their own, and not here as well."""
    twice = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and item.get_closest_marker("slow")
        and hasattr(item, "callspec")
        and "here" in item.callspec.params.values()
    ]
    config.hook.pytest_deselected(items=twice)
    items[:] = [item for item in items if item not in twice]


@pytest.fixture(params=[not_held_to, pytest.param(held_to, marks=pytest.mark.slow)])
def at_most(request: pytest.FixtureRequest) -> AtMost:
    """`assert seconds < at_most(8)`: a test of an order of events that the slow tier holds to a time as well."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def sim() -> Serve:
    """The embedded endpoint in this process, on a port of the system's choice."""

    @asynccontextmanager
    async def serving(config: SimConfig) -> AsyncIterator[str]:
        ended, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(config, 0, ended, port.set_result))
        try:
            yield f"http://127.0.0.1:{await port}/v1"
        finally:
            ended.set()
            await task

    return serving


@pytest.fixture(params=HERE_AND_IN_A_PROCESS)
def module(request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    """`trie ...` in an empty folder; the slow tests run it as `python -m trie ...`, in processes of its own."""
    if request.param == "here":
        return partial(in_this_process, tmp_path)
    return partial(in_a_process, tmp_path, sys.executable, "-m", "trie")
