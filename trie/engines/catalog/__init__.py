"""All that trie knows of each engine: a module for each, with one declaration in it.

A new engine is a module here, named in `ENGINES`, a file conf/endpoint/<dialect>.yaml with the settings that a user may
change, and a section of docs/engines.md. Nothing else in trie knows an engine.
"""

from __future__ import annotations

from trie.engines.catalog import litellm, llamacpp, openai, sglang, sim, tokenspeed, transformers, vllm
from trie.engines.declaration import Engine

ENGINES: tuple[Engine, ...] = (
    vllm.ENGINE,
    sglang.ENGINE,
    tokenspeed.ENGINE,
    litellm.ENGINE,
    llamacpp.ENGINE,
    transformers.ENGINE,
    openai.ENGINE,
    sim.ENGINE,
)


def of_dialect(dialect: str | None) -> Engine | None:
    """The engine that speaks a dialect; None for a dialect of the user's own."""
    return next((engine for engine in ENGINES if engine.dialect == dialect), None)


def of_metrics_prefix(prefix: str) -> Engine | None:
    """The engine whose metrics begin so."""
    return next((engine for engine in ENGINES if engine.metrics_prefix == prefix), None)


def load_keys() -> list[str]:
    """The gauges of requests in flight of all engines; no two share a name."""
    return [engine.metric(gauge) for engine in ENGINES for gauge in engine.gauges_in_flight]


def listed_context_keys() -> list[tuple[str, ...]]:
    """Where the entries of /v1/models have their context, each place once."""
    return list(dict.fromkeys(engine.listed_context for engine in ENGINES if engine.listed_context))


def latency_histograms() -> frozenset[str]:
    """The histograms of latencies of all engines, by their whole names."""
    return frozenset(
        engine.metric(name) for engine in ENGINES if engine.counters is not None for name in engine.counters.histograms
    )
