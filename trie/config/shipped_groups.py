"""The groups that come with the package, conf/<group>/<name>.yaml, and what may be given in place of a name.

The library reads the files without Hydra; the command line shares the rules for paths and URLs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from trie.config.endpoint import EndpointConfig
from trie.config.setting import settings_of
from trie.config.workload import WorkloadConfig
from trie.errors import ConfigError, near_miss

PACKAGE = Path(__file__).parents[1]
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"  # in a wheel, in a checkout
INSTEAD_OF_A_NAME = {
    "workload": "or the path of a JSONL file",
    "endpoint": "or a URL (http://HOST:PORT/v1)",
    "concurrency": "or any number from 1 up",
    "experiment": "or a .yaml file",
}

_PLAIN_PATH = re.compile(r"(\.{1,2}|~\w*)?/.*", re.DOTALL)
_URL = re.compile(r"https?://.+", re.IGNORECASE)


def names(group: str) -> list[str]:
    """The names of a group's files."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def load(group: str, name: str) -> dict[str, Any]:
    """The values of one file, by their keys."""
    import yaml  # type: ignore[import-untyped]  # not for `import trie`

    values: dict[str, Any] = yaml.safe_load((CONF / group / f"{name}.yaml").read_text("utf-8"))
    return values


def is_plain_path(text: str) -> bool:
    """Whether a text can only be a path: `./agentic` is never the name of a workload."""
    return _PLAIN_PATH.fullmatch(text) is not None


def is_workload_path(text: str) -> bool:
    """Whether a text that names no workload is the path of one: it has a /, ends in .jsonl, or is a file."""
    return "/" in text or text.endswith(".jsonl") or Path(text).is_file()


def is_endpoint_url(text: str) -> bool:
    """Whether a text that names no endpoint is the URL of one."""
    return _URL.fullmatch(text) is not None


def workload_at(path: str) -> dict[str, Any]:
    """The settings of the workload in a file."""
    return {"name": Path(path).stem, "path": path}


def endpoint_at(url: str) -> dict[str, Any]:
    """The settings of the endpoint at a URL, whose dialect is found by asking it."""
    return {"base_url": url}


def workload_named_or_at(text: str) -> WorkloadConfig:
    """The settings of a named workload, or of the JSONL file at a path.

    Raises:
        ConfigError: for a text that is neither.
    """
    if text in names("workload"):
        values = load("workload", text)
        return WorkloadConfig(**values.get("workload", values))  # a file that sets more than its group nests it
    if is_workload_path(text):
        return WorkloadConfig(**workload_at(text))
    raise ConfigError(no_such("workload", text, names("workload")))


def endpoint_named_or_at(text: str) -> EndpointConfig:
    """The settings of a named endpoint, or of the one at a URL.

    Raises:
        ConfigError: for a text that is neither.
    """
    if text in names("endpoint"):
        kinds = {setting.key: setting for setting in settings_of(EndpointConfig)}
        values = load("endpoint", text)
        return EndpointConfig(**{key: kinds[key].from_file(value) for key, value in values.items()})
    if is_endpoint_url(text) or "@" in text:  # which refuses a password without repeating it
        return EndpointConfig(**endpoint_at(text))
    raise ConfigError(no_such("endpoint", text, names("endpoint")))


def no_such(group: str, option: str, available: list[str]) -> str:
    """The error for an option that a group does not have."""
    hint = near_miss(option, [name for name in available if not name.isdigit()])
    instead = f", {INSTEAD_OF_A_NAME[group]}" if group in INSTEAD_OF_A_NAME else ""
    return f"{group}={option}: no such {group}{hint}; available: {', '.join(available)}{instead}"
