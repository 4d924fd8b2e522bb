"""What the model counts, in Prometheus' text format, as the embedded endpoint's /metrics has it."""

from __future__ import annotations

from trie.sim.scheduler import Scheduler


def metrics_text(model: Scheduler) -> str:
    """Gauges, counters and histograms of a model as it stands."""
    tally = model.tally
    values = {
        "num_requests_running": ("gauge", model.active),
        "num_requests_waiting": ("gauge", len(model.waiting)),
        "cache_blocks_used": ("gauge", len(model.cache)),
        "prefix_cache_queries_total": ("counter", tally.queries_tokens),
        "prefix_cache_hits_total": ("counter", tally.hit_tokens),
        "prompt_tokens_total": ("counter", tally.prompt_tokens),
        "generation_tokens_total": ("counter", tally.generated_tokens),
        "request_success_total": ("counter", tally.finished),
        "num_preemptions_total": ("counter", tally.preemptions),
    }
    lines = [f"# TYPE trie_sim:{name} {kind}\ntrie_sim:{name} {value}\n" for name, (kind, value) in values.items()]
    lines += [_histogram(f"trie_sim:{name}_seconds", span.seconds, span.count) for name, span in tally.spans.items()]
    return "".join(lines)


def _histogram(name: str, total: float, count: int) -> str:
    """A histogram of one bucket in Prometheus' text format: its sum and its count are what is known."""
    lines = (f'{name}_bucket{{le="+Inf"}} {count}', f"{name}_sum {total!r}", f"{name}_count {count}")
    return f"# TYPE {name} histogram\n" + "".join(f"{line}\n" for line in lines)
