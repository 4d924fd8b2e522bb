"""What the engine itself counted over the run, beside what the rows say, and where the two differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trie.engines import catalog
from trie.engines.declaration import Engine
from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.sections import (
    BesideRows,
    CountDifferences,
    EngineAccount,
    EngineCounts,
    RowCounts,
    TokenCounts,
)
from trie.storage.manifest import Manifest

COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens", "requests", "preemptions")
TIMES = ("queue_s", "ttft_s", "itl_s", "e2e_s")
TOKENS = ("prompt_tokens", "completion_tokens")
SAME_SHARE = 0.05  # by which counters may be below the rows: an engine may write its counters down late


def engine(columns: Columns, manifest: Manifest) -> EngineAccount | None:
    """The engine's figures, the rows' own, and the difference; None where its counters were not read or not known.

    The difference of a mean time is the client's less the engine's: network, HTTP server and client together.
    """
    growth = None if manifest.end is None else manifest.end.engine
    if growth is None or not growth.counters:
        return None
    counters = growth.counters
    declared = next((engine for engine in catalog.ENGINES if _counts(engine, counters)), None)
    if declared is None:
        return None
    counted, rows = _counted(counters, declared), _rows(columns)
    believed = not _below(counted, rows)
    shown = counted if believed else EngineCounts()
    own = _own_at_most(columns)
    beside = _beside(columns)
    dialect = manifest.server.dialect
    return EngineAccount(
        name=declared.metrics_prefix or "",
        version=None if dialect is None else dialect.version,
        engines=growth.engines,
        settled=growth.settled,
        counted=shown,
        rows=rows,
        difference=CountDifferences(**{key: _difference(key, shown, rows) for key in (*COUNTS, *TIMES)}),
        beside_rows=beside,
        comparable=believed and not beside.any,
        own_at_most=own,
        others_share=_others_share(shown, own),
        disbelieved=None if believed else counted,
    )


def _below(counted: EngineCounts, rows: RowCounts) -> bool:
    """Whether the counters hold less than the rows: a restart, or the counters of one server of several."""
    pairs = [(getattr(counted, key), getattr(rows, key)) for key in TOKENS]
    return any(count and row and count < row * (1.0 - SAME_SHARE) for count, row in pairs)  # 0: it counts none


def _own_at_most(columns: Columns) -> TokenCounts:
    """What the run's own requests can have made an engine count.

    It is the usage of those that ended well, and for every other attempt all that it asked for.

    Prompts may be longer than accounted, by what a template adds: by as much as in the worst of the rows.
    """
    prompt, completion = columns["usage_prompt_tokens"], columns["usage_completion_tokens"]
    accounted = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    longer = np.nanmax(prompt - accounted, initial=0.0)
    asked = columns["requested_completion_tokens"]
    return TokenCounts(
        prompt_tokens=_at_most(columns, prompt, np.maximum(accounted + longer, np.nan_to_num(prompt))),
        completion_tokens=_at_most(columns, completion, np.maximum(asked, np.nan_to_num(completion))),
    )


def _at_most(columns: Columns, reported: Floats, asked: Floats) -> float | None:
    """The sum over all attempts; None where no row reports anything, so that what was asked for is unproven."""
    counted = columns.outcome("ok") & ~np.isnan(reported)
    served = np.maximum(columns["attempts"] - columns["rate_limited"], 1.0)
    return float(np.where(counted, reported + (served - 1.0) * asked, served * asked).sum()) if counted.any() else None


def _others_share(counted: EngineCounts, own: TokenCounts) -> float | None:
    """The larger of the shares of prompt and completion tokens."""
    pairs = [(getattr(counted, key), getattr(own, key)) for key in TOKENS]
    shares = [max(count - most, 0.0) / count for count, most in pairs if count and most is not None]
    return max(shares, default=None)


def _counts(engine: Engine, counters: Mapping[str, float]) -> bool:
    """Whether an engine's tokens are among the counters: a router may have metrics of its prefix and count none."""
    names = engine.counters
    tokens = () if names is None else (*names.prompt_tokens, *names.completion_tokens)
    return any(engine.metric(name) == key.partition("{")[0] for name in tokens for key in counters)


def _counted(counters: Mapping[str, float], engine: Engine) -> EngineCounts:
    names = engine.counters
    assert names is not None

    def total(name: str) -> float:
        """Over the labels that are left."""
        return sum(value for key, value in counters.items() if key.partition("{")[0] == engine.metric(name))

    def count(*of: str) -> float | None:
        return sum(total(name) for name in of) if of else None

    def mean(histogram: str) -> float | None:
        number = total(f"{histogram}_count") if histogram else 0.0
        return total(f"{histogram}_sum") / number if number else None

    prompt, cached = count(*names.prompt_tokens), count(*names.cached_tokens)
    return EngineCounts(
        **{key: count(*getattr(names, key)) for key in COUNTS},
        **{key: mean(getattr(names, key)) for key in TIMES},
        hit_rate_pct=100.0 * cached / prompt if prompt and cached is not None else None,
    )


def _rows(columns: Columns) -> RowCounts:
    """The same of the rows that ended well; of TTFT, of all that got a first token, whatever became of them."""
    ok = columns.outcome("ok")
    prompt, cached = columns["usage_prompt_tokens"], columns.cached_tokens
    sent, end = columns["attempt_sent_s"], columns["end_s"]
    first, last = columns["first_token_s"], columns["last_token_s"]
    tokens = columns.completion_tokens - 1
    several = ok & (tokens > 0) & ~np.isnan(last - first)
    reported = _sum(prompt, ok & ~np.isnan(cached))
    hits = _sum(cached, ok & ~np.isnan(prompt))
    return RowCounts(
        prompt_tokens=_sum(prompt, ok),
        cached_tokens=hits,
        completion_tokens=_sum(columns["usage_completion_tokens"], ok),
        requests=int(ok.sum()),
        hit_rate_pct=100.0 * hits / reported if hits is not None and reported else None,
        ttft_s=_mean(first - sent, np.ones(len(columns), dtype=np.bool_)),
        itl_s=float((last - first)[several].sum() / tokens[several].sum()) if several.any() else None,
        e2e_s=_mean(end - sent, ok),
    )


def _beside(columns: Columns) -> BesideRows:
    """Requests that the engine may have counted and that the rows' sums hold nothing of."""
    ok = columns.outcome("ok")
    return BesideRows(
        cancelled=int(columns.outcome("cancelled").sum()),
        failed=int(columns.outcome("failed").sum()),
        retried=int(np.maximum(columns["attempts"] - 1, 0).sum()),
        without_usage=int((ok & np.isnan(columns["usage_prompt_tokens"])).sum()),
    )


def _sum(values: Any, which: Bools) -> float | None:
    kept = values[which & ~np.isnan(values)]
    return float(kept.sum()) if len(kept) else None


def _mean(values: Any, which: Bools) -> float | None:
    kept = values[which & ~np.isnan(values)]
    return float(kept.mean()) if len(kept) else None


def _difference(key: str, counts: EngineCounts, rows: RowCounts) -> float | None:
    counted, seen = getattr(counts, key), getattr(rows, key, None)
    if counted is None or seen is None:
        return None
    return float(seen - counted if key in TIMES else counted - seen)
