"""Where the workers of a run are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from trie.config.setting import SECONDS, check, require, setting

AUTO, LOCAL = "auto", "local"
_HOST_AND_PORT = re.compile(r"[^\s:/@]+:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5}")


class Placement(Enum):
    """What places the workers."""

    none = "none"  # they are processes of this machine
    ray = "ray"


@dataclass
class ClusterConfig:
    """Several machines for one run; `cluster=ray` chooses a file of settings."""

    placement: Placement = setting(
        Placement.none,
        "none: the workers are processes of this machine; ray: they are spread over the nodes of a Ray cluster",
        measured=False,
    )
    address: str = setting(
        AUTO,
        "placement=ray: the cluster that this machine belongs to: auto, or the HOST:PORT of its head; local: a cluster "
        "of this machine alone, for the time of the run",
        text="auto, local, or HOST:PORT",
        measured=False,
    )
    wait: float = setting(
        60.0,
        "placement=ray: longest wait until the cluster has a free core for each worker",
        minimum=0,
        unit=SECONDS,
        measured=False,
    )

    def __post_init__(self) -> None:
        check(self, "cluster.")
        allowed = self.address in (AUTO, LOCAL) or _HOST_AND_PORT.fullmatch(self.address) is not None
        require(allowed, "cluster.address", self.address, "auto, local, or HOST:PORT")
