"""What a workload is: how many traces, how long they are, how long they wait, how much of them repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trie.workload.accounting import every_request, family
from trie.workload.trace import Trace, Workload

PERCENTILES = (50, 90, 99)
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one quantity: how many values, and how they are distributed; None where there is no value."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, values: Values) -> Statistics:
        """Percentiles are interpolated between values."""
        if not len(values):
            return cls(0, None, None, None, None, None)
        low, middle, high = np.percentile(values, PERCENTILES).tolist()
        return cls(len(values), float(values.mean()), low, middle, high, float(values.max()))


@dataclass(frozen=True, slots=True)
class Quantity:
    """Values with their name and unit; `per` says what each value is of."""

    key: str
    title: str
    unit: str
    values: Values

    @property
    def statistics(self) -> Statistics:
        """How they are distributed."""
        return Statistics.of(self.values)


@dataclass(frozen=True, slots=True)
class Description:
    """A workload in numbers."""

    name: str
    source: str
    synthetic: bool
    traces: int
    requests: int
    quantities: tuple[Quantity, ...]
    prompt_tokens: int  # of all requests, whole prompts
    new_prompt_tokens: int  # of them, those that no earlier request had at the head of its prompt or with its answer
    completion_tokens: int
    subagents: int = 0  # traces within traces
    context_resets: int = 0
    shared_prefixes: int = 0  # different ones
    reasoning_tokens: int = 0  # of the completion tokens, those that no later prompt holds

    @property
    def ideal_hit_rate(self) -> float | None:
        """The share of the prompt tokens that a cache of any size could serve; None for traces of one request."""
        if self.new_prompt_tokens == self.prompt_tokens:
            return None
        return 1.0 - self.new_prompt_tokens / self.prompt_tokens

    @property
    def prompt_per_completion(self) -> float:
        """Prompt tokens for each completion token."""
        return self.prompt_tokens / self.completion_tokens

    @property
    def new_prompt_per_completion(self) -> float:
        """The same of the new prompt tokens alone: what is left with a perfect cache."""
        return self.new_prompt_tokens / self.completion_tokens

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {
            "name": self.name,
            "source": self.source,
            "synthetic": self.synthetic,
            "traces": self.traces,
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "new_prompt_tokens": self.new_prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "subagents": self.subagents,
            "context_resets": self.context_resets,
            "shared_prefixes": self.shared_prefixes,
            "reasoning_tokens": self.reasoning_tokens,
            "ideal_hit_rate": self.ideal_hit_rate,
            "prompt_per_completion": self.prompt_per_completion,
            "new_prompt_per_completion": self.new_prompt_per_completion,
            **{quantity.key: asdict(quantity.statistics) for quantity in self.quantities},
        }


def describe(workload: Workload) -> Description:
    """The numbers of a workload, over all of its traces and their sub-agents."""
    traces = workload.traces
    everyone = [member for trace in traces for member in family(trace)]
    prompt = new = completion = requests = resets = reasoning = 0
    for plan in every_request(traces):
        prompt += plan.prompt_tokens
        new += plan.new_prompt_tokens
        completion += plan.completion_tokens
        requests += 1
        resets += plan.cut is not None
        reasoning += plan.dropped_tokens
    return Description(
        workload.name,
        workload.source,
        workload.synthetic,
        len(traces),
        requests,
        _quantities(traces, everyone),
        prompt,
        new,
        completion,
        subagents=len(everyone) - len(traces),
        context_resets=resets,
        shared_prefixes=len({trace.shared_prefix_id for trace in everyone if trace.shared_prefix_length}),
        reasoning_tokens=reasoning,
    )


def _quantities(traces: Sequence[Trace], everyone: Sequence[Trace]) -> tuple[Quantity, ...]:
    """Turns, final prompts and all waits are those of the traces themselves; lengths are those of sub-agents too."""
    answers = [length for trace in everyone for length in trace.assistant_response_length]
    outputs = [length for trace in everyone for length in trace.tool_call_output_length]
    waits = [seconds for trace in everyone for seconds in trace.tool_call_latency]
    finals = [_final_prompt(trace) for trace in traces]
    return (
        _quantity("turns", "turns", "", (trace.num_turns for trace in traces)),
        _quantity("input_prompt", "input prompt", "tokens", (trace.input_prompt_length for trace in everyone)),
        _quantity("answer", "answer", "tokens", answers),
        _quantity("tool_output", "tool output", "tokens", outputs),
        _quantity("wait_s", "wait", "s", waits),
        _quantity("final_answer", "final answer", "tokens", (t.final_assistant_response_length for t in everyone)),
        _quantity("final_prompt", "prompt of the final request", "tokens", finals),
        _quantity("trace_wait_s", "all waits of a trace", "s", (sum(trace.tool_call_latency) for trace in traces)),
    )


def _final_prompt(trace: Trace) -> int:
    tokens = 0
    for plan in trace.requests():
        tokens = plan.prompt_tokens
    return tokens


def _quantity(key: str, title: str, unit: str, values: Iterable[float]) -> Quantity:
    return Quantity(key, title, unit, np.fromiter(values, np.float64))
