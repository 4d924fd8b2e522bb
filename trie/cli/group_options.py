"""Options that are no files: numbers, paths and URLs on the command line, as groups of the config.

Hydra's grammar reads `concurrency=8` as a number and refuses it for a group, and looks for a file where a path or a
URL is given. A config source answers for such options, and the parser of overrides, through which every way into
Hydra goes (command line, sweeps, completion, compose), turns numbers back into names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from trie.cli import rerun
from trie.cli.errors import GROUPS
from trie.config import shipped_groups

# group -> whether it takes an option without a file, and the config that this stands for
OPEN_GROUPS: dict[str, tuple[Callable[[str], object], Callable[[str], Any]]] = {
    "concurrency": (re.compile(r"[1-9]\d*").fullmatch, lambda number: {"value": int(number)}),
    "workload": (shipped_groups.is_workload_path, shipped_groups.workload_at),
    "endpoint": (shipped_groups.is_endpoint_url, shipped_groups.endpoint_at),
    "experiment": (re.compile(r".+\.ya?ml").fullmatch, rerun.load),
}
FREE = ("endpoint.headers.", "endpoint.extra_body.", "slo.")  # hold keys of the user's own
BEFORE_FILES = "before_files"  # path of the source that stands in front of the files
ALIASES = {"workload_path": "workload"}  # the reference's spelling
# Names, paths and URLs: what Hydra's grammar would refuse in them is quoted for it, such as the # of `model=a#b`.
TEXT = re.compile(
    r"((?:\+{1,2})?(?:model|tokenizer_model|workload|workload_path|workload\.path|endpoint|endpoint\.base_url"
    r"|endpoint\.proxy)=)(.*)",
    re.DOTALL,
)
# Expressions with commas, signs and blanks, which are one text.
EXPRESSION = re.compile(r"((?:\+{1,2})?(?:slo(?:\.[\w-]+)?|stop_when)=)(.*)", re.DOTALL)
LOADS = re.compile(r"concurrency=(\d+)\.\.(\d+)")  # of a search for a capacity
NEEDS_QUOTES = re.compile(r"[#=&!;<>^`]")
WRITTEN_FOR_HYDRA = re.compile(r"['\"\[({]|\$\{")  # quoted already, a list, a choice or an interpolation


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
        if group not in OPEN_GROUPS or (self.path == BEFORE_FILES and not shipped_groups.is_plain_path(option)):
            return False
        return bool(option and OPEN_GROUPS[group][0](option))

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, option = config_path.partition("/")
        try:
            config = OmegaConf.create(OPEN_GROUPS[group][1](option))
        except OSError as error:
            raise ConfigLoadError(f"{option}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigLoadError(f"{option}: not YAML: it is not UTF-8 text") from error
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
        search_path.prepend(provider="trie", path=f"option://{BEFORE_FILES}")
        search_path.append(provider="trie", path="option://")


@contextmanager
def numbers_as_names() -> Iterator[None]:
    """Hydra's parser of overrides, changed for the time being.

    No public way: a source sees an option only after Hydra has refused a number for a group, and arguments that are
    rewritten before Hydra gets them would miss those that sweepers and files make.
    """
    hydras = OverridesParser.parse_overrides

    def parse_overrides(self: OverridesParser, overrides: list[str]) -> list[Override]:
        parsed: list[Override] = hydras(self, [quoted(override) for override in overrides])
        for override in parsed:
            _adapt(override)
        return parsed

    OverridesParser.parse_overrides = parse_overrides
    try:
        yield
    finally:
        OverridesParser.parse_overrides = hydras


def quoted(override: str) -> str:
    """An override with quotes around a text that needs them: an expression; a name, a path or a URL.

    Of several names, paths or URLs with commas between, each has its own.
    """
    if (loads := LOADS.fullmatch(override)) is not None:
        return f"concurrency=range({loads[1]},{loads[2]})"
    expression = EXPRESSION.fullmatch(override)
    if expression is not None and WRITTEN_FOR_HYDRA.search(expression[2]) is None and expression[2] != "null":
        return f"{expression[1]}'{expression[2]}'"
    match = TEXT.fullmatch(override)
    if match is None or NEEDS_QUOTES.search(match[2]) is None or WRITTEN_FOR_HYDRA.search(match[2]) is not None:
        return override
    return match[1] + ",".join(f"'{part}'" if NEEDS_QUOTES.search(part) else part for part in match[2].split(","))


def _adapt(override: Override) -> None:
    """Resolve an alias, take a number, null or truth that names an option as its name, and add where keys are free.

    Fields and headers of a request have any name: to set one is to add it.
    """
    override.key_or_group = ALIASES.get(override.key_or_group, override.key_or_group)
    if override.type is OverrideType.CHANGE and override.key_or_group.startswith(FREE):
        override.type = OverrideType.FORCE_ADD
    value = override._value  # noqa: SLF001 - has no setter but the parser
    if override.key_or_group in GROUPS and (value is None or isinstance(value, int | float)):
        override._value = "null" if value is None else str(value)  # noqa: SLF001
