"""Goodput and cost; both sections come as a whole from the summary."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.definitions.metric import PERCENT, RUN, Better, Metric, Part

ENDS = (Part("value", ""), Part("low", "from", "low end of the 95 % interval"), Part("high", "to", "high end of it"))


def _goodput() -> Iterator[Metric]:
    for prefix, unit, what in (("", "traces", "trace"), ("requests_", "requests", "request")):
        rate = "traces" if not prefix else "requests"
        kept = f"that kept every limit that the SLO sets for a {what}"
        yield Metric(
            section=RUN, key=f"goodput.{rate}_per_s", label=f"good {unit}/s", unit="1/s", better="higher",
            definition=f"{unit} {kept} / wall time",
        )  # fmt: skip
        yield Metric(
            section=RUN, key=f"goodput.{rate}_per_s_per_gpu", label=f"good {unit}/s per GPU", unit="1/s",
            better="higher", definition="the same / num_gpus, where that is given",
        )  # fmt: skip
        yield Metric(
            section=RUN, key=f"goodput.{prefix}share", label=f"good {unit}", unit="ratio", shown=PERCENT,
            better="higher",
            definition=f"{unit} {kept} / those of which it is known: that ended, or broke a limit before the end",
        )  # fmt: skip


COSTS: tuple[tuple[str, str, str, Better, str], ...] = (
    ("per_million_completion_tokens", "cost per million completion tokens", "currency", "lower",
     "gpu_hour_cost x num_gpus / completion tokens in an hour, in millions"),
    ("per_trace", "cost per trace", "currency", "lower", "gpu_hour_cost x num_gpus / traces in an hour"),
    ("traces_per_hour_per_gpu", "traces per hour and GPU", "1/h", "higher", "traces in an hour / num_gpus"),
    ("traces_per_unit_of_cost", "traces per unit of cost", "1/currency", "higher", "1 / cost per trace"),
    ("wh_per_million_completion_tokens", "energy per million completion tokens", "Wh", "lower",
     "gpu_watts x num_gpus x 1 h / completion tokens in an hour, in millions"),
    ("wh_per_trace", "energy per trace", "Wh", "lower", "gpu_watts x num_gpus x 1 h / traces in an hour"),
)  # fmt: skip

DECISION_METRICS: tuple[Metric, ...] = (
    *_goodput(),
    *(
        Metric(
            section=RUN, key=f"cost.{key}", label=label, unit=unit, better=better, definition=definition, parts=ENDS
        )
        for key, label, unit, better, definition in COSTS
    ),
)  # fmt: skip
