"""Where traces come from."""

from __future__ import annotations

from dataclasses import dataclass

from trie.config.setting import SECONDS, check, require, setting

MAX_ROWS = 10_000_000  # traces of a stand-in
MAX_PREFIX_TOKENS = 100_000_000
MAX_GROUPS = 1_000_000
ORDERS = ("file", "shuffled")


@dataclass
class WorkloadConfig:
    """Where traces come from; exactly one of path, hub_file, bundled and synthetic is set."""

    name: str = setting("workload", "its name in reports and directories")
    path: str | None = setting(None, "a JSONL file, relative to the folder that you are in")
    hub_repo: str = setting("lightseekorg/trie-dataset", "dataset repository that holds hub_file")
    hub_file: str | None = setting(None, "file in hub_repo; the cache folder keeps it under the same name")
    hub_sha256: str | None = setting(
        None,
        "SHA-256 of hub_file: a download with another one is refused, a cached file with another one is warned of; "
        "null: not known",
    )
    bundled: str | None = setting(None, "a file inside the package")
    synthetic: str | None = setting(None, "distributions of a synthetic stand-in: agentic, qa, office")
    rows: int = setting(8192, "traces drawn for a synthetic stand-in", minimum=1, maximum=MAX_ROWS)
    seed: int = setting(0, "seed of a synthetic stand-in: the same seed gives the same workload", minimum=0)
    skip_too_long: bool = setting(
        False, "leave out the traces that do not fit the model's context, and count them; false: refuse to run"
    )
    min_context_tokens: int | None = setting(
        None, "keep only traces whose final request needs a window of at least so many tokens", minimum=1
    )
    max_context_tokens: int | None = setting(
        None, "keep only traces whose final request fits a window of so many tokens", minimum=1
    )
    shared_prefix_tokens: int = setting(
        0,
        "the first so many tokens of each input prompt are the same text in all traces of a group; 0: each has a text "
        "of its own. Traces that name a shared prefix themselves keep it",
        minimum=0,
        maximum=MAX_PREFIX_TOKENS,
    )
    shared_prefix_groups: int = setting(
        1, "groups that the traces are drawn into, by workload.seed", minimum=1, maximum=MAX_GROUPS
    )
    shared_prefix_zipf: float = setting(
        1.0, "group i is drawn with frequency i ** -zipf; 0: all are equally frequent", minimum=0, maximum=10
    )
    order: str = setting(
        "file", "order in which traces begin: as in the file, or at random by workload.seed", choices=ORDERS
    )
    tool_latency_scale: float = setting(1.0, "factor of all tool latencies; 0: tools take no time", minimum=0)
    tool_latency_cap_s: float | None = setting(
        None, "longest tool latency, after the scale; null: as recorded", minimum=0, unit=SECONDS
    )
    sha256: str | None = setting(
        None, "refuse a workload whose traces have another SHA-256 (manifest.json holds it); null: any"
    )

    def __post_init__(self) -> None:
        sources = [key for key in ("path", "hub_file", "bundled", "synthetic") if getattr(self, key) is not None]
        require(len(sources) == 1, "workload", sources or "nothing", "one of path, hub_file, bundled, synthetic")
        check(self, "workload.")
