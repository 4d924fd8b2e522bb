"""What the declaration of an engine consists of: the signs that tell it, the names of its numbers, its facts. Pure.

A sign looks at what the routes of a server answered and yields a witness where it fits. Who the server is follows from
the witnesses of all engines (engines/detect).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from trie.engines.prometheus import has_names
from trie.one_line import one_line

MODELS, METRICS = "/v1/models", "/metrics"
SERVER_INFO = ("/get_server_info", "/server_info")  # of SGLang; vLLM has the second one
VERSION_LENGTH = 40  # characters of a version that are kept


class Answer(Protocol):
    """What a route answered, as `trie.endpoint.get_json.Reply` holds it."""

    @property
    def status(self) -> int | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def head(self) -> Mapping[str, str]:
        """Headers by their names in lower case."""
        ...

    @property
    def ok(self) -> bool: ...
    @property
    def json(self) -> Any:
        """The value in the body of an answer that is one; None for any other."""
        ...


Answers = Mapping[str, Answer]  # by route; a route that was not asked is missing


@dataclass(frozen=True, slots=True)
class Witness:
    """One answer that speaks for an engine, in words."""

    text: str
    version: str | None = None


class Sign(Protocol):
    """One way to tell an engine."""

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes to ask for it, beside /v1/models."""
        ...

    @property
    def description(self) -> str:
        """The sign in words, for documents."""
        ...

    def witnesses(self, answers: Answers) -> Iterator[Witness]:
        """The answers that speak for the engine."""
        ...


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """A route answers a JSON object that only this engine would answer."""

    route: str
    fits: Callable[[Mapping[str, Any]], bool]
    text: str  # what the route does, for people; {version} is replaced
    version_key: str | None = None  # of the object

    @property
    def routes(self) -> tuple[str, ...]:
        return (self.route,)

    @property
    def description(self) -> str:
        return f"{self.route} {self.text.format(version='its version')}"

    def witnesses(self, answers: Answers) -> Iterator[Witness]:
        value = answers[self.route].json if self.route in answers else None
        if isinstance(value, dict) and self.fits(value):
            text = value.get(self.version_key) if self.version_key is not None else None
            version = one_line(text, VERSION_LENGTH) if isinstance(text, str) else None
            yield Witness(f"{self.route} {self.text.format(version=version)}", version)


def listed_models(value: Any) -> list[dict[str, Any]]:
    """The entries of what /v1/models answered: under `data` or `models`, or a bare array."""
    if isinstance(value, dict):
        value = value.get("data", value.get("models"))
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class OwnedBy:
    """The first model that /v1/models lists has one of these owners."""

    owners: tuple[str, ...]
    routes: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        return f"models owned by {' or '.join(self.owners)}"

    def witnesses(self, answers: Answers) -> Iterator[Witness]:
        models = listed_models(answers[MODELS].json) if MODELS in answers else []
        owner = models[0].get("owned_by") if models else None
        if owner in self.owners:
            yield Witness(f"models owned by {owner}")


@dataclass(frozen=True, slots=True)
class MetricNames:
    """/metrics has names that begin so."""

    prefix: str
    routes: tuple[str, ...] = (METRICS,)

    @property
    def description(self) -> str:
        return f"/metrics names {self.prefix}..."

    def witnesses(self, answers: Answers) -> Iterator[Witness]:
        metrics = answers.get(METRICS)
        if metrics is not None and metrics.ok and has_names(metrics.body, self.prefix):
            yield Witness(self.description)


@dataclass(frozen=True, slots=True)
class Header:
    """Any answer has a header of this name (a pattern such as x-smg-*) and, where one is given, of this value."""

    name: str
    value: str | None = None  # in lower case
    routes: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        return f"header {self.name}" + ("" if self.value is None else f": {self.value}")

    def witnesses(self, answers: Answers) -> Iterator[Witness]:
        headers = {header for answer in answers.values() for header in answer.head.items()}
        if self.value is not None:
            if any(name == self.name and value.lower() == self.value for name, value in headers):
                yield Witness(self.description)
            return
        for name in sorted({name for name, _ in headers if fnmatchcase(name, self.name)}):
            yield Witness(f"header {name}")


@dataclass(frozen=True, slots=True)
class Statuses:
    """Routes answer with these statuses, all of them."""

    statuses: Mapping[str, int]
    description: str

    @property
    def routes(self) -> tuple[str, ...]:
        return tuple(self.statuses)

    def witnesses(self, answers: Answers) -> Iterator[Witness]:
        if all(route in answers and answers[route].status == status for route, status in self.statuses.items()):
            yield Witness(self.description)


@dataclass(frozen=True, slots=True)
class CounterNames:
    """What an engine calls its counters, without its prefix; several are summed, empty is what it does not count."""

    prompt_tokens: tuple[str, ...]
    cached_tokens: tuple[str, ...]
    completion_tokens: tuple[str, ...]
    requests: tuple[str, ...] = ()
    preemptions: tuple[str, ...] = ()
    queue_s: str = ""  # histograms, in seconds
    ttft_s: str = ""
    itl_s: str = ""
    e2e_s: str = ""

    @property
    def histograms(self) -> tuple[str, ...]:
        """Those of latencies, whose buckets are kept."""
        return tuple(name for name in (self.queue_s, self.ttft_s, self.itl_s, self.e2e_s) if name)


def _not_stated(_: Mapping[str, Any]) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Facts:
    """What an engine tells of itself beside the API: for the manifest, and the context among it."""

    routes: tuple[str, ...]  # the first that tells anything is read
    read: Callable[[Answer], dict[str, Any]]
    context: Callable[[Mapping[str, Any]], int | None] = _not_stated  # tokens, out of all facts of a server
    kv_capacity: Callable[[Mapping[str, Any]], int | None] = _not_stated  # tokens that one engine's KV cache holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """All that trie knows of an engine. What a user may set for it stands in conf/endpoint/<dialect>.yaml instead."""

    dialect: str  # its file in conf/endpoint
    name: str  # for people
    signs: tuple[Sign, ...]  # in the order in which they are told
    gateway: bool = False  # it passes on what engines behind it answer, and outranks them
    hides: tuple[str, ...] = ()  # dialects whose signs are its own where it is the gateway
    listed_context: tuple[str, ...] = ()  # keys, one inside the other, of the context in an entry of /v1/models
    facts: Facts | None = None
    metrics_prefix: str | None = None  # before the colon in the names of its metrics, which are a sign of it
    gauges_in_flight: tuple[str, ...] = ()  # requests that run and that wait, without the prefix
    counters: CounterNames | None = None
    metrics_flag: str | None = None  # without which it has no /metrics
    reset_hint: str | None = None  # when its prefix cache can be emptied, for people

    @property
    def all_signs(self) -> tuple[Sign, ...]:
        """Its signs, and the names of its metrics."""
        return self.signs if self.metrics_prefix is None else (*self.signs, MetricNames(self.metric("")))

    def metric(self, name: str) -> str:
        """The whole name of a metric."""
        return f"{self.metrics_prefix}:{name}"


def is_count(value: object) -> bool:
    """Whether a JSON value is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
