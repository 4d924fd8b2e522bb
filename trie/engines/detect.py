"""Who is the server? Pure: from what its routes answered to a finding, with what speaks for it and against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trie.engines import catalog
from trie.engines.declaration import Answers, Engine, Witness

Testimony = tuple[Engine, Witness]

# Where clouds and gateways state a model's context in /v1/models, for prompt and completion together.
USUAL_CONTEXT_KEYS: tuple[tuple[str, ...], ...] = (
    ("loaded_context_length",),
    ("context_length",),
    ("max_context_length",),
    ("context_window",),
    ("max_context_tokens",),
    ("context_size",),
    ("max_model_len",),
    ("max_sequence_length",),
    ("max_seq_len",),
    ("n_ctx",),
    ("top_provider", "context_length"),
    ("model_info", "context_length"),
    ("limits", "max_context_window_tokens"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Which engine a server is, as far as its answers tell."""

    dialect: str | None  # of the engine; None: not known
    version: str | None = None
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()  # answers that speak for another engine
    behind: str | None = None  # the dialect of the engine that a gateway lets through

    @property
    def confidence(self) -> str:
        """How sure it is, in a word."""
        if self.against:
            return "contradicted"
        return "certain" if len(self.evidence) > 1 else "likely"

    @property
    def name(self) -> str:
        """The engine and its version, for people."""
        engine = catalog.of_dialect(self.dialect)
        name = self.dialect if engine is None else engine.name
        return " ".join(part for part in (name or "unknown", self.version) if part)

    def __str__(self) -> str:
        if self.dialect is None:
            return "unknown" + (f" ({'; '.join(self.against)})" if self.against else "")
        but = f"; but {', '.join(self.against)}" if self.against else ""
        return f"{self.name} ({self.confidence}: {', '.join(self.evidence)}{but})"


def routes() -> tuple[str, ...]:
    """The routes by which engines are told apart, beside /v1/models; none of them costs the model work."""
    asked = (route for engine in catalog.ENGINES for sign in engine.all_signs for route in sign.routes)
    return tuple(dict.fromkeys(asked))


def routes_of(dialect: str | None) -> tuple[str, ...]:
    """The routes on which an engine states its facts."""
    engine = catalog.of_dialect(dialect)
    return () if engine is None or engine.facts is None else engine.facts.routes


def identify(answers: Answers) -> Finding:
    """The finding from a server's answers by route; routes that were not asked may be left out.

    A gateway outranks what shines through it. Otherwise the engine that most answers speak for is the one, and a tie
    is no finding.
    """
    testimony = [
        (engine, witness)
        for engine in catalog.ENGINES
        for sign in engine.all_signs
        for witness in sign.witnesses(answers)
    ]
    gateway = _leading([(engine, witness) for engine, witness in testimony if engine.gateway])
    if gateway is not None:
        return _gateway(gateway, testimony)
    leading = _leading(testimony)
    speaking = [witness for engine, witness in testimony if engine is leading]
    return Finding(
        None if leading is None else leading.dialect,
        next((witness.version for witness in speaking if witness.version), None),
        tuple(witness.text for witness in speaking),
        tuple(f"{witness.text} is {engine.name}'s" for engine, witness in testimony if engine is not leading),
    )


def _gateway(gateway: Engine, testimony: list[Testimony]) -> Finding:
    shining = [(engine, witness) for engine, witness in testimony if not engine.gateway]
    behind = _leading([(engine, witness) for engine, witness in shining if engine.dialect not in gateway.hides])
    witnesses = [witness for engine, witness in testimony if engine is gateway]
    own = tuple(witness.text for witness in witnesses)
    version = next((witness.version for witness in witnesses if witness.version), None)
    through = tuple(f"{witness.text}, of the engine behind it" for engine, witness in testimony if engine is behind)
    return Finding(gateway.dialect, version, own + through, behind=None if behind is None else behind.dialect)


def _leading(testimony: list[Testimony]) -> Engine | None:
    """The engine with the most witnesses; None for none and for a tie."""
    ranked = Counter(engine.dialect for engine, _ in testimony).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return catalog.of_dialect(ranked[0][0])


def facts_beside(answers: Answers) -> dict[str, Any]:
    """Facts for the manifest out of the answers by route; what is not stated is not in it.

    All engines' facts are read: a gateway may pass on those of the engine behind it.
    """
    facts: dict[str, Any] = {}
    for engine in catalog.ENGINES:
        if engine.facts is not None:
            stated = (engine.facts.read(answers[route]) for route in engine.facts.routes if route in answers)
            facts.update(next((fact for fact in stated if fact), {}))
    return facts


def context_beside(facts: Mapping[str, Any]) -> int | None:
    """Tokens of prompt and completion together, by what stands beside the API; None where nothing states it."""
    contexts = [engine.facts.context(facts) for engine in catalog.ENGINES if engine.facts is not None]
    return min((context for context in contexts if context), default=None)


def kv_capacity_beside(facts: Mapping[str, Any]) -> int | None:
    """Tokens that the KV cache of one engine holds, by what stands beside the API; None where nothing states it."""
    capacities = (engine.facts.kv_capacity(facts) for engine in catalog.ENGINES if engine.facts is not None)
    return next((capacity for capacity in capacities if capacity), None)


def listed_context(entry: Mapping[str, Any]) -> int | None:
    """The same by an entry of /v1/models: where an engine states it, else under any of its usual names."""
    for keys in (*catalog.listed_context_keys(), *USUAL_CONTEXT_KEYS):
        value: Any = entry
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
