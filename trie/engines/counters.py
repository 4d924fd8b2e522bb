"""The engine's own counters over a run: read right before its clock starts and after its end, and what they grew by."""

from __future__ import annotations

import asyncio
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

from trie.config import EndpointConfig
from trie.endpoint.connection import Connections
from trie.endpoint.get_json import ask
from trie.endpoint.response import loads

ANSWER_S = 5.0
SETTLE_S, SETTLE_EVERY_S = 5.0, 0.1  # for an engine to let go of the requests that a run's end cut off
OF_THE_PLACE = frozenset(  # labels that say where a series is from: series that differ in them alone are one
    {"engine", "engine_type", "model_name", "model", "pod", "instance", "job", "namespace", "node", "pid"}
    | {"dp_rank", "worker", "worker_id"}
)
RANKS = frozenset({"tp_rank", "pp_rank", "moe_ep_rank"})  # of one engine's parts, which all count the same
ENGINES = ("engine", "dp_rank")  # labels of which each value is an engine
OTHERS = ("python_", "process_", "http_")  # families of the process around the engine
LATENCIES = ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "queue_time")  # buckets are kept
_PART = re.compile(r"(.+)_(sum|count|bucket)")
_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$", re.MULTILINE)
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_KIND = re.compile(r"^# TYPE ([A-Za-z_:][\w:]*) (\w+)", re.MULTILINE)


class Sample(NamedTuple):
    """One line: a name, its labels, its value; NaN and infinities as they are."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(body: bytes) -> Iterator[Sample]:
    """Every sample of a text; what is none is passed over."""
    for name, labels, value in _SAMPLE.findall(body.decode("utf-8", "replace")):
        with suppress(ValueError):
            yield Sample(name, dict(_LABEL.findall(labels)), float(value))


def kinds(body: bytes) -> dict[str, str]:
    """The kind of each family that states one: counter, gauge, histogram, summary."""
    return dict(_KIND.findall(body.decode("utf-8", "replace")))


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading, summed over the labels of places; names carry the labels that are left."""

    values: Mapping[str, float] = field(default_factory=dict)
    engines: int = 0  # data-parallel ones seen


def counters(bodies: Iterable[bytes]) -> Counters:
    """Counters, and histograms' sums, counts and some buckets, of the texts of one server or several."""
    values: dict[str, float] = defaultdict(float)
    engines = 0
    for body in bodies:
        kind = kinds(body)
        seen: set[tuple[str, str]] = set()
        for sample in samples(body):
            seen |= {(label, sample.labels[label]) for label in ENGINES if label in sample.labels}
            if _counts(sample, kind) and math.isfinite(sample.value):
                values[_key(sample)] += sample.value
        engines += max((sum(name == label for name, _ in seen) for label in ENGINES), default=0)
    return Counters(dict(values), engines)


def _counts(sample: Sample, kind: Mapping[str, str]) -> bool:
    """Whether a sample is of those that only grow, and of an engine's first rank."""
    if sample.name.startswith(OTHERS) or any(sample.labels.get(rank, "0") != "0" for rank in RANKS):
        return False
    if "counter" in (kind.get(sample.name), kind.get(sample.name.removesuffix("_total"))):
        return True
    part = _PART.fullmatch(sample.name)
    if part is None or kind.get(part[1]) != "histogram":
        return False
    return part[2] != "bucket" or any(name in part[1] for name in LATENCIES)


def _key(sample: Sample) -> str:
    kept = sorted((name, value) for name, value in sample.labels.items() if name not in OF_THE_PLACE | RANKS)
    return sample.name + ("{" + ",".join(f'{name}="{value}"' for name, value in kept) + "}" if kept else "")


def grown(before: Counters, after: Counters) -> dict[str, Any]:
    """What a run made of the counters, for its manifest: those that changed, by how much.

    An engine that was started anew meanwhile counts from 0: then nothing is known, and that is said.
    """
    change = {name: value - before.values.get(name, 0.0) for name, value in after.values.items()}
    restarted = any(value < 0 for value in change.values()) or not before.values.keys() <= after.values.keys()
    kept = {} if restarted else {name: round(value, 9) for name, value in sorted(change.items()) if value}
    return {"engines": after.engines, "restarted": restarted, "counters": kept}


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
        return None if after is None else {**grown(self._before, after), "settled": settled}

    async def _settle(self) -> bool | None:
        """Whether nothing was in flight any more; None where the engine does not tell."""
        until = perf_counter() + SETTLE_S
        while True:
            found = await load(self._beside, self._endpoint.load_route, self._endpoint.load_keys)
            if not found or perf_counter() >= until:
                return None if found is None else found == 0
            await asyncio.sleep(SETTLE_EVERY_S)

    async def _read(self) -> Counters | None:
        route = self._endpoint.metrics_route
        if route is None:
            return None
        async with AsyncExitStack() as stack:
            places: Sequence[Connections] = self._beside
            if not route.startswith("/"):  # of another host, maybe: no key and no header of ours goes there
                plain = EndpointConfig(tls=self._endpoint.tls, connect_timeout=self._endpoint.connect_timeout)
                places, route = [await stack.enter_async_context(Connections(plain, route))], ""
            replies = [await ask(place, route) for place in places]
        found = counters(reply.body for reply in replies if reply.ok)
        return found if found.values and all(reply.ok for reply in replies) else None


def in_flight(body: bytes, keys: Sequence[str]) -> int | None:
    """Requests that an engine serves or holds in its queue, summed over `keys` and over labels; None: it doesn't tell.

    Args:
        body: Prometheus' text format, as of /metrics, or JSON, as of routes like /get_load.
        keys: names of gauges, or of numbers in the JSON at any depth.
    """
    try:
        found = list(_numbers(loads(body), set(keys)))
    except ValueError:
        found = [sample.value for sample in samples(body) if sample.name in keys]
    known = [value for value in found if math.isfinite(value)]
    return round(sum(known)) if known else None


def _numbers(content: Any, keys: set[str]) -> Sequence[float]:
    """The numbers under these keys in JSON of any shape."""
    if isinstance(content, list):
        return [value for item in content for value in _numbers(item, keys)]
    if not isinstance(content, dict):
        return []
    own = [float(content[key]) for key in keys & content.keys() if type(content[key]) in (int, float)]
    return own + [value for item in content.values() for value in _numbers(item, keys)]


async def load(connections: Sequence[Connections], route: str, keys: Sequence[str]) -> int | None:
    """Requests in flight on all servers together; None where one of them does not tell."""
    found = [in_flight(reply.body if (reply := await ask(one, route)).ok else b"", keys) for one in connections]
    return None if None in found else sum(number for number in found if number is not None)
