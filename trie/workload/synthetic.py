"""Labelled stand-ins for the three recorded workloads, drawn from what is known of their distributions.

They have the shape of the recorded traces, not their content: docs/traces.md says how well each field fits, and which
are guesses. The same seed gives the same traces on every machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import exp, sqrt

from trie.errors import WorkloadError
from trie.workload.trace import Trace


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal by its median and the standard deviation of its logarithm."""

    median: float
    sigma: float

    def of(self, z: float) -> float:
        """The value at `z` standard deviations."""
        return self.median * exp(self.sigma * z)

    def draw(self, rng: random.Random) -> float:
        return self.of(rng.gauss(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Log-normals with their shares, which add up to 1."""

    parts: tuple[tuple[float, LogNormal], ...]

    def draw(self, rng: random.Random) -> float:
        choice = rng.random()
        for share, part in self.parts:
            if choice < share:
                return part.draw(rng)
            choice -= share
        return self.parts[-1][1].draw(rng)


Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """The distributions of one workload; lengths in tokens, latencies in seconds."""

    turns: LogNormal
    turns_range: Range
    prompt_floor: float
    prompt: LogNormal  # above the floor
    prompt_max: float
    final: LogNormal
    final_range: Range
    final_follows_turns: float  # correlation of the two, in standard deviations
    first_answer: LogNormal
    answer: Mixture
    answer_range: Range
    tool: Mixture  # outputs
    tool_range: Range
    latency: float  # median of a trace of average pace
    pace: float  # how much traces differ in pace
    latency_spread: LogNormal
    latency_range: Range
    early_tool: Mixture | None = None  # the first six outputs, where they differ
    cold_start: float = 0.0  # share of traces whose first tool call is slow and large
    cold_tool: LogNormal = LogNormal(3984, 0.106)
    cold_latency: LogNormal = LogNormal(25, 0.45)
    timeout_share: float = 0.0  # share of latencies that sit at the top of their range


def _one(median: float, sigma: float) -> Mixture:
    return Mixture(((1.0, LogNormal(median, sigma)),))


PROFILES: dict[str, Profile] = {
    "agentic": Profile(
        turns=LogNormal(13.8, 0.87),
        turns_range=(1, 159),
        prompt_floor=6000,
        prompt=LogNormal(448, 0.74),
        prompt_max=13195,
        final=LogNormal(413, 0.39),
        final_range=(28, 1149),
        final_follows_turns=0.48,
        first_answer=LogNormal(131, 0.32),
        answer=Mixture(((0.55, LogNormal(81, 0.295)), (0.45, LogNormal(312, 0.643)))),
        answer_range=(23, 1889),
        early_tool=_one(240, 1.65),
        tool=_one(138, 1.62),
        tool_range=(1, 24917),
        latency=0.40,
        pace=0.60,
        latency_spread=LogNormal(1, 1.35),
        latency_range=(0.006, 60.35),
        cold_start=0.29,
    ),
    "office": Profile(
        turns=LogNormal(38, 0.39),
        turns_range=(4, 208),
        prompt_floor=8700,
        prompt=LogNormal(129, 0.63),
        prompt_max=16000,
        final=LogNormal(1165, 0.64),
        final_range=(16, 8192),
        final_follows_turns=0.0,
        first_answer=LogNormal(170, 0.35),
        answer=Mixture(((0.49, LogNormal(18.3, 0.47)), (0.51, LogNormal(203, 1.25)))),
        answer_range=(7, 6000),
        tool=Mixture(((0.19, LogNormal(27, 0.78)), (0.59, LogNormal(288, 0.95)), (0.22, LogNormal(2722, 0.49)))),
        tool_range=(3, 16000),
        latency=0.72,
        pace=0.39,
        latency_spread=LogNormal(1, 0.85),
        latency_range=(0.15, 20.04),
        timeout_share=0.013,
    ),
    "qa": Profile(
        turns=LogNormal(9, 1.0),
        turns_range=(1, 208),
        prompt_floor=1450,
        prompt=LogNormal(140, 0.9),
        prompt_max=8000,
        final=LogNormal(600, 0.7),
        final_range=(16, 4096),
        final_follows_turns=0.3,
        first_answer=LogNormal(110, 0.4),
        answer=Mixture(((0.6, LogNormal(80, 0.35)), (0.4, LogNormal(250, 0.8)))),
        answer_range=(16, 4000),
        tool=Mixture(((0.3, LogNormal(40, 0.9)), (0.7, LogNormal(450, 1.3)))),
        tool_range=(1, 20000),
        latency=0.20,
        pace=0.4,
        latency_spread=LogNormal(1, 1.0),
        latency_range=(0.01, 60.0),
    ),
}
EARLY_TURNS = 6


def draw(name: str, rows: int, seed: int) -> list[Trace]:
    """`rows` traces of the stand-in `name` (agentic, qa or office).

    Raises:
        WorkloadError: for a name that has no stand-in.
    """
    if name not in PROFILES:
        raise WorkloadError(f"workload.synthetic={name}: must be one of {', '.join(PROFILES)}")
    rng = random.Random(f"{name}:{seed}")
    return [_trace(PROFILES[name], rng, row) for row in range(rows)]


def _trace(profile: Profile, rng: random.Random, row: int) -> Trace:
    length = rng.gauss(0.0, 1.0)
    turns = _tokens(profile.turns.of(length), profile.turns_range)
    follows = profile.final_follows_turns
    final = profile.final.of(follows * length + sqrt(1 - follows**2) * rng.gauss(0.0, 1.0))
    tools, latencies = _tools(profile, rng, turns)
    answers = [profile.first_answer.draw(rng), *(profile.answer.draw(rng) for _ in range(turns - 1))]
    return Trace(
        input_prompt_length=round(min(profile.prompt_floor + profile.prompt.draw(rng), profile.prompt_max)),
        assistant_response_length=tuple(_tokens(answer, profile.answer_range) for answer in answers),
        tool_call_output_length=tuple(_tokens(tool, profile.tool_range) for tool in tools),
        tool_call_latency=tuple(latencies),
        final_assistant_response_length=_tokens(final, profile.final_range),
        row=row,
    )


def _tools(profile: Profile, rng: random.Random, turns: int) -> tuple[list[float], list[float]]:
    """Output lengths and latencies of a trace's tool calls; a trace keeps its pace."""
    pace = profile.latency * exp(profile.pace * rng.gauss(0.0, 1.0))
    tools, latencies = [], []
    for turn in range(turns):
        if turn == 0 and rng.random() < profile.cold_start:
            tools.append(profile.cold_tool.draw(rng))
            latency = profile.cold_latency.draw(rng)
        else:
            early = profile.early_tool if turn < EARLY_TURNS else None
            tools.append((early or profile.tool).draw(rng))
            stuck = rng.random() < profile.timeout_share
            latency = profile.latency_range[1] if stuck else pace * profile.latency_spread.draw(rng)
        latencies.append(round(_clip(latency, profile.latency_range), 3))
    return tools, latencies


def _clip(value: float, allowed: Range) -> float:
    return min(max(value, allowed[0]), allowed[1])


def _tokens(value: float, allowed: Range) -> int:
    return round(_clip(value, allowed))
