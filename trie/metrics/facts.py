"""What the metrics need to know of a run beside its rows, read out of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trie.config import LimitsConfig
from trie.errors import RunDirError


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """What the run measured of its own process; lags in seconds, sampled on the event loop."""

    cpu_s: float | None
    loop_lag_p50_s: float | None
    loop_lag_p99_s: float | None
    loop_lag_max_s: float | None
    samples: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """The conditions of a run; `end_reason` is None for a run that was killed."""

    concurrency: int
    duration_s: float | None
    num_gpus: int | None
    stream: bool
    synthetic: bool
    mean_turns: float | None
    offset_tokens: int
    limits: LimitsConfig
    end_reason: str | None
    wall_time_s: float | None
    client: ClientLoad

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Facts:
        """The facts that a manifest holds; what an older or killed run did not write is None.

        Raises:
            RunDirError: for a manifest without the configuration.
        """
        config, workload, end = (_part(manifest, key) for key in ("config", "workload", "end"))
        concurrency = _part(config, "concurrency").get("value")
        if not isinstance(concurrency, int):
            raise RunDirError(
                f"manifest.json: config.concurrency.value is {ascii(concurrency)}, must be a whole number"
            )
        return cls(
            concurrency=concurrency,
            duration_s=config.get("duration"),
            num_gpus=config.get("num_gpus"),
            stream=config.get("stream", True),
            synthetic=workload.get("synthetic", False),
            mean_turns=workload.get("mean_turns"),
            offset_tokens=_part(manifest, "prompts").get("offset_tokens") or 0,
            limits=_known(LimitsConfig, _part(config, "limits")),
            end_reason=end.get("reason"),
            wall_time_s=end.get("wall_time_s"),
            client=_client(_part(end, "client")),
        )


def _part(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = tree.get(key)
    return found if isinstance(found, Mapping) else {}


def _known(kind: type[LimitsConfig], data: Mapping[str, Any]) -> LimitsConfig:
    return kind(**{item.name: data[item.name] for item in fields(kind) if item.name in data})


def _client(data: Mapping[str, Any]) -> ClientLoad:
    return ClientLoad(**{item.name: data.get(item.name) for item in fields(ClientLoad)})
