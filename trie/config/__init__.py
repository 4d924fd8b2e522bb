"""Every setting of a run: the schema of the configuration files and the library's own type, in one.

The dataclasses hold types, defaults and rules and know nothing of Hydra; `trie.cli` turns files and overrides into
a `RunConfig`, a library user builds one directly.
"""

from trie.config.client import ClientConfig, ConcurrencyConfig, Priority
from trie.config.cluster import ClusterConfig, Placement
from trie.config.command import CommandConfig, Order
from trie.config.endpoint import LOAD_KEYS, Api, EndpointConfig, PromptForm, TlsConfig, ToolRole
from trie.config.limits import LimitsConfig
from trie.config.load import LoadConfig
from trie.config.prompts import PromptConfig
from trie.config.run import HISTORIES, Clock, ProgressStyle, RunConfig, Start
from trie.config.sim import FAULTS, SimConfig
from trie.config.workload import WorkloadConfig

__all__ = [
    "FAULTS",
    "HISTORIES",
    "LOAD_KEYS",
    "Api",
    "ClientConfig",
    "Clock",
    "ClusterConfig",
    "CommandConfig",
    "ConcurrencyConfig",
    "EndpointConfig",
    "LimitsConfig",
    "LoadConfig",
    "Order",
    "Placement",
    "Priority",
    "ProgressStyle",
    "PromptConfig",
    "PromptForm",
    "RunConfig",
    "SimConfig",
    "Start",
    "TlsConfig",
    "ToolRole",
    "WorkloadConfig",
]
