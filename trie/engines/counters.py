"""The engine's own counters over a run, and the requests that it has in flight.

Counters are read right before the clock starts and after its end; a run is what they grew by.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from trie.config import EndpointConfig
from trie.endpoint.connection import Connections
from trie.endpoint.get_json import ask
from trie.endpoint.json_text import loads
from trie.engines import catalog
from trie.engines.prometheus import Sample, kinds, samples

ANSWER_S = 5.0
SETTLE_S, SETTLE_EVERY_S = 5.0, 0.1  # for an engine to let go of the requests that a run's end cut off
PLACE_LABELS = frozenset(  # they say where a series is from: series that differ in them alone are summed
    {"engine", "engine_type", "model_name", "model", "pod", "instance", "job", "namespace", "node", "pid"}
    | {"dp_rank", "worker", "worker_id"}
)
RANK_LABELS = frozenset({"tp_rank", "pp_rank", "moe_ep_rank"})  # of one engine's parts, which all count the same
DATA_PARALLEL_LABELS = ("engine", "dp_rank")  # each value is an engine
PROCESS_PREFIXES = ("python_", "process_", "http_")  # families of the process around the engine
HISTOGRAM_PART = re.compile(r"(.+)_(sum|count|bucket)")
PROCESS_START, SERIES_START = "process_start_time_seconds", "_created"  # seconds since the epoch, of the Python client
SAME_START_S = 1.0  # exporters work the start of their process out of the system's clock, which may be set


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading, summed over the labels of places; names carry the labels that are left."""

    values: Mapping[str, float] = field(default_factory=dict)
    engines: int = 0  # data-parallel ones seen
    starts: Mapping[str, float] = field(default_factory=dict)  # of each server's process and series, where it tells


def read_counters(bodies: Iterable[bytes]) -> Counters:
    """Counters, and histograms' sums, counts and the buckets of latencies, of one server's /metrics or several."""
    values: dict[str, float] = defaultdict(float)
    starts: dict[str, float] = {}
    engines, latencies = 0, catalog.latency_histograms()
    for number, body in enumerate(bodies):
        kind_of = kinds(body)
        places: set[tuple[str, str]] = set()
        for sample in samples(body):
            places |= {(label, sample.labels[label]) for label in DATA_PARALLEL_LABELS if label in sample.labels}
            if not math.isfinite(sample.value):
                continue
            if sample.name == PROCESS_START or sample.name.endswith(SERIES_START):
                starts[f"{sample.name} {number} {sorted(sample.labels.items())}"] = sample.value
            elif _only_grows(sample, kind_of, latencies):
                values[_key(sample)] += sample.value
        engines += max((sum(name == label for name, _ in places) for label in DATA_PARALLEL_LABELS), default=0)
    return Counters(dict(values), engines, starts)


def _only_grows(sample: Sample, kind_of: Mapping[str, str], latencies: frozenset[str]) -> bool:
    """Whether a sample is a counter or a kept part of a histogram, and of an engine's first rank."""
    if sample.name.startswith(PROCESS_PREFIXES) or any(sample.labels.get(rank, "0") != "0" for rank in RANK_LABELS):
        return False
    if "counter" in (kind_of.get(sample.name), kind_of.get(sample.name.removesuffix("_total"))):
        return True
    part = HISTOGRAM_PART.fullmatch(sample.name)
    if part is None or kind_of.get(part[1]) != "histogram":
        return False
    return part[2] != "bucket" or part[1] in latencies


def _key(sample: Sample) -> str:
    """A sample's name, with the labels that are not summed over."""
    ignored = PLACE_LABELS | RANK_LABELS
    labels = sorted((name, value) for name, value in sample.labels.items() if name not in ignored)
    return sample.name + ("{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else "")


def growth(before: Counters, after: Counters) -> dict[str, Any]:
    """What a run made of the counters, for its manifest: those that changed, by how much.

    An engine that was restarted meanwhile counts from 0: then nothing is known, and `restarted` and
    `restart_evidence` say so.
    """
    if (evidence := _restart(before, after)) is not None:
        return {"engines": after.engines, "restarted": True, "restart_evidence": evidence, "counters": {}}
    changes = {name: value - before.values.get(name, 0.0) for name, value in after.values.items()}
    kept = {name: round(value, 9) for name, value in sorted(changes.items()) if value}
    return {"engines": after.engines, "restarted": False, "counters": kept}


def _restart(before: Counters, after: Counters) -> str | None:
    """What shows that an engine was restarted between two readings; None where nothing does."""
    for name, value in before.values.items():
        if name not in after.values:
            return f"{name} is gone"
        if after.values[name] < value:
            return f"{name} fell from {value:g} to {after.values[name]:g}"
    for name, at in before.starts.items():
        if abs(after.starts.get(name, at) - at) > SAME_START_S:
            return f"{name.split()[0]} is another than before the run"
    return None


class Meter:
    """Reads the counters of all servers of a run; nothing is read where there is no route, or one does not answer.

    Args:
        endpoint: with the dialect's settings in force.
        beside: open, to the routes beside each server's API.
    """

    def __init__(self, endpoint: EndpointConfig, beside: Sequence[Connections]) -> None:
        self._endpoint = endpoint
        self._beside = beside
        self._before: Counters | None = None

    async def start(self) -> Counters | None:
        """Read right before the clock starts."""
        self._before = await self._read()
        return self._before

    async def end(self) -> dict[str, Any] | None:
        """Let the engine come to rest, for 5 s at most, and read again; None where that can't be."""
        if self._before is None:
            return None
        try:
            async with asyncio.timeout(SETTLE_S + ANSWER_S):
                settled = await self._settle()
                after = await self._read()
        except TimeoutError:
            return None
        return None if after is None else {**growth(self._before, after), "settled": settled}

    async def _settle(self) -> bool | None:
        """Whether nothing was in flight any more; None where the engine does not tell."""
        until = perf_counter() + SETTLE_S
        while True:
            in_flight = await requests_in_flight(self._beside, self._endpoint.load_route, self._endpoint.load_keys)
            if not in_flight or perf_counter() >= until:
                return None if in_flight is None else in_flight == 0
            await asyncio.sleep(SETTLE_EVERY_S)

    async def _read(self) -> Counters | None:
        route = self._endpoint.metrics_route
        if route is None:
            return None
        async with AsyncExitStack() as stack:
            servers: Sequence[Connections] = self._beside
            if not route.startswith("/"):  # of another host, maybe: no key and no header of ours goes there
                endpoint = self._endpoint
                plain = EndpointConfig(tls=endpoint.tls, connect_timeout=endpoint.connect_timeout, proxy=endpoint.proxy)
                servers, route = [await stack.enter_async_context(Connections(plain, route))], ""
            replies = [await ask(server, route) for server in servers]
        counters = read_counters(reply.body for reply in replies if reply.ok)
        return counters if counters.values and all(reply.ok for reply in replies) else None


async def requests_in_flight(servers: Sequence[Connections], route: str, keys: Sequence[str]) -> int | None:
    """Requests in flight on all servers together; None where one of them does not tell."""
    replies = [await ask(server, route) for server in servers]
    numbers = [in_flight(reply.body if reply.ok else b"", keys) for reply in replies]
    return None if None in numbers else sum(number for number in numbers if number is not None)


def in_flight(body: bytes, keys: Sequence[str]) -> int | None:
    """Requests that an engine serves or holds in its queue, summed over `keys` and over labels; None: it doesn't tell.

    Args:
        body: Prometheus' text format, as of /metrics, or JSON, as of routes like /get_load.
        keys: names of gauges, or of numbers in the JSON at any depth.
    """
    try:
        numbers = list(_numbers(loads(body), set(keys)))
    except ValueError:
        numbers = [sample.value for sample in samples(body) if sample.name in keys]
    finite = [number for number in numbers if math.isfinite(number)]
    return round(sum(finite)) if finite else None


def _numbers(content: Any, keys: set[str]) -> Sequence[float]:
    """The numbers under these keys in JSON of any shape."""
    if isinstance(content, list):
        return [value for item in content for value in _numbers(item, keys)]
    if not isinstance(content, dict):
        return []
    numbers = [float(content[key]) for key in keys & content.keys() if type(content[key]) in (int, float)]
    return numbers + [value for item in content.values() for value in _numbers(item, keys)]
