"""What an import kept, what it dropped and what it assumed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Fidelity:
    """The counts of one import."""

    format: str
    decided_by: str  # why this format
    rows: int = 0  # lines or documents of the source
    traces: int = 0
    requests: int = 0
    turns: int = 0
    subagents: int = 0
    compactions: int = 0
    waits: Counter[str] = field(default_factory=Counter)  # where the waits come from
    waits_capped: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # reasons
    assumed: Counter[str] = field(default_factory=Counter)  # sentences, and how often each was needed

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        names = ("format", "decided_by", "rows", "traces", "requests", "turns", "subagents", "compactions")
        counts = {name: getattr(self, name) for name in (*names, "waits_capped")}
        return {**counts, "waits": dict(self.waits), "dropped": dict(self.dropped), "assumed": dict(self.assumed)}

    def lines(self) -> list[tuple[str, str]]:
        """The report as words and what there is to say about them."""
        kept = f"{self.traces:,} traces, {self.requests:,} requests, {self.turns:,} turns"
        more = f"{self.subagents:,} sub-agents, {self.compactions:,} compactions"
        return [
            ("format", f"{self.format} ({self.decided_by})"),
            ("read", f"{self.rows:,} rows"),
            ("kept", f"{kept}; {more}"),
            *(("waits", f"{count:,} {origin}") for origin, count in self.waits.most_common()),
            *([("capped", f"{self.waits_capped:,} waits")] if self.waits_capped else []),
            *(("dropped", f"{count:,} {reason}") for reason, count in self.dropped.most_common()),
            *(("assumed", f"{sentence} ({count:,} times)") for sentence, count in self.assumed.most_common()),
        ]
