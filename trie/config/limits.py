"""The limits of the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from trie.config.setting import SECONDS, check, setting


@dataclass
class LimitsConfig:
    """Above these the verdict is that a run's numbers would mislead."""

    failure_rate: float = setting(
        0.05, "share of ended requests that failed, and of traces that completed or failed", minimum=0
    )
    censored_share: float = setting(
        0.5,
        "share of traces that were cut off or failed: those that complete are the short ones",
        minimum=0,
        measured=False,
    )
    prompt_drift: float = setting(
        0.05, "how far the server's count of prompt tokens may be from ours, as a ratio over the run", minimum=0
    )
    completion_drift: float = setting(0.01, "share of the requested completion tokens that did not come", minimum=0)
    loop_lag_s: float = setting(
        0.020, "p99 of the lag of the client's event loop, above which there is a warning", minimum=0, unit=SECONDS
    )
    client_error: float = setting(
        0.10,
        "share by which the client's own lateness may have raised a headline percentile of a time",
        minimum=0,
        measured=False,
    )
    client_cpu: float = setting(0.85, "share of one core that the client used", minimum=0)
    stall_s: float = setting(
        1.0, "longest time in which the client stood still, as a suspended process does", minimum=0, unit=SECONDS
    )

    def __post_init__(self) -> None:
        check(self, "limits.")
