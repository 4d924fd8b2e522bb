"""What an engine counted, vLLM first of all, read from its /metrics before and after a run."""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Self

from engine_setup.server import Server

SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LE = re.compile(r'\ble="([^"]+)"')


@dataclass(frozen=True)
class Histogram:
    """Counts of values between bounds; `counts[i]` are those above bounds[i - 1] and up to bounds[i]."""

    bounds: list[float]
    counts: list[float]
    sum: float

    @property
    def count(self) -> float:
        """How many values."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Of the values themselves, not of their buckets."""
        return self.sum / self.count

    def bucket(self, quantile: float) -> int:
        """Which bucket holds this quantile of the values."""
        reached = 0.0
        for place, count in enumerate(self.counts):
            reached += count
            if reached >= quantile * self.count:
                return place
        raise AssertionError(self)

    def place(self, value: float) -> int:
        """Which bucket a value falls into."""
        return bisect.bisect_left(self.bounds, value)

    def quantile(self, quantile: float) -> tuple[float, float]:
        """The bounds between which a quantile lies."""
        place = self.bucket(quantile)
        return (self.bounds[place - 1] if place else 0.0), self.bounds[place]


@dataclass(frozen=True)
class Counters:
    """One reading, summed over all labels but a histogram's bounds."""

    values: dict[str, float]
    buckets: dict[str, dict[float, float]]

    @classmethod
    def read(cls, server: Server) -> Self:
        """Ask a server."""
        status, body = server.ask("GET", "/metrics")
        assert status == 200, status
        values: dict[str, float] = defaultdict(float)
        buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        for name, labels, value in SAMPLE.findall(body.decode()):
            if name.endswith("_bucket"):
                (bound,) = LE.findall(labels)
                buckets[name.removesuffix("_bucket")][float(bound)] += float(value)
            else:
                values[name] += float(value)
        return cls(values, buckets)

    def __getitem__(self, name: str) -> float:
        """A counter or a gauge by its name without `vllm:`."""
        return self.get(f"vllm:{name}")

    def get(self, name: str) -> float:
        """A counter or a gauge of any engine by its whole name."""
        return self.values[name]

    def since(self, earlier: Self, name: str) -> float:
        """By how much a counter has grown."""
        return self[name] - earlier[name]

    def histogram(self, earlier: Self, name: str) -> Histogram:
        """What a histogram got since then."""
        now, before = self.buckets[f"vllm:{name}"], earlier.buckets[f"vllm:{name}"]
        bounds = sorted(now)
        cumulated = [now[bound] - before[bound] for bound in bounds]
        counts = [high - low for low, high in zip([0.0, *cumulated], cumulated, strict=False)]
        return Histogram(bounds, counts, self.since(earlier, f"{name}_sum"))
