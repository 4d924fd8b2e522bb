"""What a worker is given: everything it needs, so that it asks for nothing while the clock runs."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from trie.config import RunConfig
from trie.config.run import AUTO_WORKERS
from trie.preflight.steps import Prepared
from trie.replay.share import Share

log = logging.getLogger("trie")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The share of one worker."""

    share: Share
    ready: Prepared  # without open connections
    base_urls: tuple[str, ...]  # of the servers of the model
    api_key: str | None = field(repr=False)
    requests: Path | None  # the folder of the run's rows; None: rows are sent to the coordinator


def assignments(ready: Prepared, count: int, *, api_key: str | None, requests: Path | None) -> list[Assignment]:
    """What each worker is given, of a run whose preflight is over."""
    urls = tuple(server.base_url for server in ready.servers)
    closed = replace(ready, servers=(), beside=(), discoveries=())
    return [
        Assignment(
            share=share,
            ready=replace(closed, config=config_of(ready.config, share)),
            base_urls=urls,
            api_key=api_key,
            requests=requests,
        )
        for share in (Share(index, count) for index in range(count))
    ]


def config_of(config: RunConfig, share: Share) -> RunConfig:
    """The settings of a share: limits on the whole run are the coordinator's to judge, or a share of them."""
    most = config.client.max_in_flight
    client = replace(config.client, max_in_flight=None if most is None else len(share.below(most)))
    return replace(config, max_failures=None, max_failure_rate=None, stop_when=None, client=client)


def worker_count(config: RunConfig, cores: int | None = None) -> int:
    """How many workers replay a run: no more than can have something to do.

    Args:
        config: of the run.
        cores: that workers=auto takes; None: those of this machine that are left.
    """
    auto = config.workers == AUTO_WORKERS
    if auto and config.load.idle_gap_cap_s is not None:
        return 1  # which cuts the waits of the whole run at once
    wanted = (free_cores(config) if cores is None else cores) if auto else int(config.workers)
    most = (wanted, config.slots, config.client.max_in_flight, config.max_traces)
    count = max(min(number for number in most if number is not None), 1)
    if count < wanted and not auto:
        log.info("workers=%d: %d, since no more of them would have something to do", wanted, count)
    return count


def free_cores(config: RunConfig) -> int:
    """The cores of this process, without that of an embedded endpoint; at least 1."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(cores - (config.endpoint.base_url is None), 1)
