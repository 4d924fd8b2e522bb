"""Where traces come from."""

from __future__ import annotations

from dataclasses import dataclass

from trie.config.validation import require, require_whole

MAX_ROWS = 10_000_000  # traces of a stand-in


@dataclass
class WorkloadConfig:
    """Where traces come from; exactly one of path, hub_file, bundled and synthetic is set."""

    name: str = "workload"  # as reports and directories call it
    path: str | None = None  # a JSONL file, relative to where the user stands
    hub_repo: str = "lightseekorg/trie-dataset"  # dataset repository of hub_file
    hub_file: str | None = None  # file name in hub_repo, kept under the same name in the cache folder
    hub_sha256: str | None = (
        None  # of hub_file's bytes: another download is refused, another file warned of; null: not known
    )
    bundled: str | None = None  # a file inside the package
    synthetic: str | None = None  # name of a stand-in's distributions: agentic, qa, office
    rows: int = 8192  # traces drawn for a stand-in
    seed: int = 0  # of a stand-in's draws: the same seed is the same workload
    skip_too_long: bool = False  # leave out traces that the model's context can't hold, and count them; false: refuse
    min_context_tokens: int | None = None  # keep traces whose final request needs a window of at least so many tokens
    max_context_tokens: int | None = None  # and of at most so many: the window of a small server
    sha256: str | None = None  # refuse traces that are others than these (manifest.json has it); null: any

    def __post_init__(self) -> None:
        sources = [key for key in ("path", "hub_file", "bundled", "synthetic") if getattr(self, key) is not None]
        require(len(sources) == 1, "workload", sources or "nothing", "one of path, hub_file, bundled, synthetic")
        require_whole("workload.rows", self.rows, 1, MAX_ROWS)
        require_whole("workload.seed", self.seed, 0)
        require_whole("workload.min_context_tokens", self.min_context_tokens, 1)
        require_whole("workload.max_context_tokens", self.max_context_tokens, 1)
