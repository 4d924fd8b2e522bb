"""The JSON of `vllm bench serve --save-result` (keys as of vLLM 0.33), out of a run.

Tokens are the server's own counts, completed requests are those that ended well, and requests that our own deadline cut
off are in no number. What a run does not measure (the times between single tokens, goodput) is null, never 0.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from trie.export.durations import Requests, plain, requests_of
from trie.metrics.columns import Floats
from trie.metrics.evaluate_run import EvaluatedRun
from trie.storage.manifest import Manifest

BACKENDS = {"completions": "openai", "chat": "openai-chat"}
PERCENTILES = (50, 90, 95, 99)
NOT_MEASURED = ("request_goodput", "max_output_tokens_per_s", "rtfx")
DETAILED_NOT_MEASURED = ("itls", "generated_texts")


def export(run: EvaluatedRun, *, detailed: bool = False) -> dict[str, Any]:
    """One JSON object; with `detailed` also the lists that --save-detailed adds, one entry a request."""
    requests = requests_of(run)
    ok, failed = (np.flatnonzero(requests.columns.outcome(name)) for name in ("ok", "failed"))
    result = {
        **_setup(run.manifest, len(ok) + len(failed)),
        **_totals(requests, ok, len(failed), run.summary.wall_time_s),
        **dict.fromkeys(NOT_MEASURED),
        "max_concurrent_requests": _most_at_once(requests, ok),
        "latencies": plain(requests.durations["latency_s"][ok]),
        "queue_times": plain((requests.columns["sent_s"] - requests.columns["queued_s"])[ok]),
        **_statistics("ttft", requests.durations["ttft_s"]),
        **_statistics("tpot", requests.durations["tpot_s"]),
        **_statistics("itl", np.empty(0)),
        **_statistics("e2el", requests.durations["latency_s"]),
    }
    return {**result, **_detailed(requests, ok)} if detailed else result


def _setup(manifest: Manifest, prompts: int) -> dict[str, Any]:
    settings = manifest.settings
    backend = BACKENDS[settings.endpoint.api]
    started = datetime.fromtimestamp(manifest.started.unix_s).astimezone()
    return {
        "date": f"{started:%Y%m%d-%H%M%S}",
        "endpoint_type": backend,
        "backend": backend,
        "label": f"trie {manifest.workload.name}",
        "model_id": manifest.server.model,
        "tokenizer_id": manifest.prompts.name,
        "num_prompts": prompts,
        "request_rate": "inf",  # no rate of requests was asked for, but sessions
        "burstiness": None,
        "max_concurrency": settings.slots,
    }


def _totals(requests: Requests, ok: Any, failed: int, wall_time_s: float) -> dict[str, Any]:
    inputs, outputs = (int(tokens[ok].sum()) for tokens in (requests.input_tokens, requests.output_tokens))
    per_s = {
        "request_throughput": len(ok),
        "output_throughput": outputs,
        "total_token_throughput": inputs + outputs,
    }
    return {
        "duration": wall_time_s,
        "completed": len(ok),
        "failed": failed,
        "total_input_tokens": inputs,
        "total_output_tokens": outputs,
        **{key: total / wall_time_s if wall_time_s > 0 else None for key, total in per_s.items()},
    }


def _statistics(name: str, seconds: Floats) -> dict[str, float | None]:
    """Mean, median, standard deviation (of the population) and percentiles in milliseconds."""
    ms = 1e3 * seconds[np.isfinite(seconds)]
    keys = [f"mean_{name}_ms", f"median_{name}_ms", f"std_{name}_ms", *(f"p{p}_{name}_ms" for p in PERCENTILES)]
    if not len(ms):
        return dict.fromkeys(keys)
    values = (ms.mean(), np.median(ms), ms.std(), *np.percentile(ms, PERCENTILES))
    return {key: float(value) for key, value in zip(keys, values, strict=True)}


def _most_at_once(requests: Requests, ok: Any) -> int | None:
    """Requests of which some part fell into the same second, counted from the first one's start: the most of any."""
    if not len(ok):
        return None
    sent, end = requests.columns["sent_s"][ok], requests.columns["end_s"][ok]
    first, last = np.floor(sent - sent.min()).astype(int), np.floor(end - sent.min()).astype(int)
    steps = np.zeros(last.max() + 2, dtype=int)
    np.add.at(steps, first, 1)
    np.add.at(steps, last + 1, -1)
    return int(np.cumsum(steps).max())


def _detailed(requests: Requests, ok: Any) -> dict[str, Any]:
    sent = requests.columns["sent_s"]
    return {
        "input_lens": [int(tokens) for tokens in requests.input_tokens[ok]],
        "output_lens": [int(tokens) for tokens in requests.output_tokens[ok]],
        "ttfts": plain(requests.durations["ttft_s"][ok]),
        "start_times": plain(sent[ok]),
        "errors": [""] * len(ok),
        **dict.fromkeys(DETAILED_NOT_MEASURED),
    }
