"""Engines that can't be had here: their tests are skipped with the reason, or fail where TRIE_ENGINES_REQUIRED=1."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import pytest
from engine_setup.places import SetupError
from engine_setup.server import Server

T = TypeVar("T")
Start = Callable[..., Server]


def had(stack: ExitStack, engine: AbstractContextManager[T]) -> T:
    """An engine for as long as the stack stands."""
    return or_skip(lambda: stack.enter_context(engine))


def or_skip(get: Callable[[], T]) -> T:
    """What an installation or a start gives."""
    try:
        return get()
    except SetupError as error:
        if os.environ.get("TRIE_ENGINES_REQUIRED") == "1":
            raise
        pytest.skip(f"engine not to be had here: {error}")
