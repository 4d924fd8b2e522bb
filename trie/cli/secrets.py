"""The API key on a command line: taken off before anything can write it down."""

from __future__ import annotations

import os
import re

from trie.errors import ConfigError

_PASSWORD = re.compile(r"https?://[^/@\s]+@")
_KEY = re.compile(r"\+{0,2}(?:endpoint\.)?api_key=(.*)", re.DOTALL)


def take_api_key(arguments: list[str]) -> tuple[list[str], str | None]:
    """The arguments without any api_key=..., and the last key given; quotes around it are not part of it.

    Hydra would write an override into half a dozen files, so the key must be gone before Hydra sees the arguments.
    """
    kept, key = [], None
    for argument in arguments:
        match = _KEY.fullmatch(argument)
        if match is None:
            kept.append(argument)
        else:
            value = match[1]
            key = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    return kept, key or None


def refuse_passwords(arguments: list[str]) -> None:
    """A user and password in a URL would be written down with the other overrides.

    Raises:
        ConfigError: naming the argument's key alone.
    """
    for argument in arguments:
        if _PASSWORD.search(argument):
            key = argument.partition("=")[0]
            raise ConfigError(f"{key}=(hidden): a URL may not hold user and password; use OPENAI_API_KEY")


def api_key(given: str | None, variable: str) -> str | None:
    """The key to send: the one given on the command line, else the environment's.

    Raises:
        ConfigError: for a key that no header can carry; the key is not repeated.
    """
    key = given or os.environ.get(variable) or None
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the API key (api_key=, {variable}): holds characters that a header can't carry")
    return key
