"""Options that are no files: numbers, paths and URLs on the command line, as groups of the config.

Hydra's grammar reads `concurrency=8` as a number and refuses it for a group, and looks for a file where a path or a
URL is given. A config source answers for such options, and the parser of overrides, through which every way into
Hydra goes (command line, sweeps, completion, compose), turns numbers back into names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from trie.cli import config_guard, rerun
from trie.cli.errors import GROUPS
from trie.config import CommandConfig
from trie.config.setting import unmeasured

Load = Callable[[str], Any]

# group -> what an option without a file looks like, and the config that it stands for
OPEN_GROUPS: dict[str, tuple[re.Pattern[str], Load]] = {
    "concurrency": (re.compile(r"[1-9]\d*"), lambda number: {"value": int(number)}),
    "workload": (re.compile(r".*/.*|.*\.jsonl"), lambda path: {"name": Path(path).stem, "path": path}),
    "endpoint": (re.compile(r"https?://.+"), lambda url: {"base_url": url}),
    "experiment": (re.compile(r".+\.ya?ml"), rerun.load),
}
FREE = ("endpoint.headers.", "endpoint.extra_body.")  # what holds keys of the user's own
PLAIN_PATHS = "paths"
_PLAIN_PATH = re.compile(r"(\.{1,2}|~\w*)?/")
BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
ALIASES = {"workload_path": "workload"}  # the reference's spelling


class OptionSource(ConfigSource):  # type: ignore[misc]
    """Answers for options of the open groups that no file provides."""

    @staticmethod
    def scheme() -> str:
        return "option"

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path in OPEN_GROUPS

    def is_config(self, config_path: str) -> bool:
        group, _, option = config_path.partition("/")
        if group not in OPEN_GROUPS or (self.path == PLAIN_PATHS and not _PLAIN_PATH.match(option)):
            return False
        return OPEN_GROUPS[group][0].fullmatch(option) is not None

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, option = config_path.partition("/")
        try:
            config = OmegaConf.create(OPEN_GROUPS[group][1](option))
        except OSError as error:
            raise ConfigLoadError(f"{option}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigLoadError(f"{option}: not YAML: not even UTF-8 text") from error
        except RecursionError as error:
            raise ConfigLoadError(f"{option}: not a config: it holds itself, or is nested too deeply") from error
        package = "_global_" if group == "experiment" else group
        return ConfigResult(self.provider, self.full_path(), config, header={"package": package})

    def list(self, config_path: str, results_filter: Any) -> list[str]:  # noqa: ARG002 - there is nothing to list
        return []


class OptionSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Puts the source on every search path: behind the files, but for what is plainly a path before them.

    Else `workload=./agentic` would find conf/workload/agentic.yaml and replay the hub's file in silence.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.prepend(provider="trie", path=f"option://{PLAIN_PATHS}")
        search_path.append(provider="trie", path="option://")


_parse_overrides = OverridesParser.parse_overrides


def _with_names(self: OverridesParser, overrides: list[str]) -> list[Override]:
    """Hydra's own parsing; then aliases are resolved, and a number, null or truth that names an option is its name.

    Fields and headers of a request have any name: to set one is to add it.
    """
    parsed: list[Override] = _parse_overrides(self, overrides)
    for override in parsed:
        override.key_or_group = ALIASES.get(override.key_or_group, override.key_or_group)
        if override.type is OverrideType.CHANGE and override.key_or_group.startswith(FREE):
            override.type = OverrideType.FORCE_ADD
        value = override._value  # noqa: SLF001 - has no setter but the parser
        if override.key_or_group in GROUPS and (value is None or isinstance(value, int | float)):
            override._value = "null" if value is None else str(value)  # noqa: SLF001
    return parsed


_hydras_sweeper = Plugins.instantiate_sweeper


def _our_sweeper(self: Plugins, *, config: DictConfig, **given: Any) -> Sweeper:
    """Ours in place of Hydra's basic one, which a plugin may not replace from here; others as they are chosen."""
    if config.hydra.sweeper._target_ != BASIC_SWEEPER:
        return _hydras_sweeper(self, config=config, **given)
    from trie.cli.sweeper import Cells  # not for a single run

    sweeper = Cells(max_batch_size=config.hydra.sweeper.max_batch_size, params=config.hydra.sweeper.params)
    sweeper.setup(config=config, **given)
    return sweeper


def slug(text: object) -> str:
    """Text as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", str(text)).strip("-.") or "unnamed"


def _fingerprint(*, _root_: DictConfig) -> str:
    """A short hash of what a run measures: a changed setting is another cell of a sweep."""
    ignored = {*unmeasured(CommandConfig), "hydra"}
    if _root_.endpoint.base_url is not None:
        ignored.add("sim")
    run = OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key not in ignored])
    text = OmegaConf.to_yaml(run, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _again(*, _root_: DictConfig) -> str:
    """What tells the repeats of a cell apart: nothing for the first, so that repeats may be added to a sweep."""
    return "" if _root_.repeat == 1 else f"-r{_root_.repeat}"


def _sweep_name(*, _root_: DictConfig) -> str:
    """The folder of a sweep without a name: its endpoint and model."""
    endpoint = _root_.endpoint
    where = endpoint.base_url if endpoint.name == "custom" else endpoint.name
    where = re.sub(r"^https?://", "", str(where))
    return slug(where if _root_.model is None else f"{where}-{_root_.model}")


def install() -> None:
    """Make Hydra know the open groups, the schema and the resolvers; needed once in a process."""
    Plugins.instance().register(OptionSource)
    Plugins.instance().register(OptionSearchPath)
    Plugins.instantiate_sweeper = _our_sweeper
    OverridesParser.parse_overrides = _with_names
    config_guard.install()
    ConfigStore.instance().store(name="schema", node=CommandConfig)
    OmegaConf.register_new_resolver("slug", slug, replace=True)
    OmegaConf.register_new_resolver("fingerprint", _fingerprint, replace=True)
    OmegaConf.register_new_resolver("again", _again, replace=True)
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)
