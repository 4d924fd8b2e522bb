"""The API key: off the command line before anything can write it down, out of the environment before children start."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping

from trie.errors import ConfigError

# Whatever Hydra's grammar could take for the key: with its prefixes, with a package, with blanks around.
_KEY = re.compile(r"\s*[+~]{0,2}\s*(?:endpoint\.)?api_key(?:@[^=]*)?\s*=(.*)", re.DOTALL)

_PASSWORD = re.compile(r"https?://[^/@\s]+@")
_SECRET_HEADER = re.compile(r"authorization|cookie|api-?key|token|secret|password", re.IGNORECASE)


class Keys:
    """The keys of this process, in its memory alone: they are not shown, and another process has to find its own."""

    __slots__ = ("_given", "_taken")

    def __init__(self, given: str | None) -> None:
        self._given = given
        self._taken: dict[str, str] = {}

    def key(self, variable: str) -> str | None:
        """The key to send: the one given on the command line, else the environment's, taken out of it.

        Raises:
            ConfigError: for a key that no header can carry; the key is not repeated.
        """
        if variable in os.environ:
            self._taken[variable] = os.environ.pop(variable)  # kept for the other cells of a sweep
        key = self._given or self._taken.get(variable) or None
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigError(f"the API key (api_key=, {variable}): holds characters that a header can't carry")
        return key

    def __repr__(self) -> str:
        return "Keys(hidden)"

    def refuse_other_processes(self) -> None:
        """Refuse a key that only this process has, where runs start in others.

        Raises:
            ConfigError: saying where those would find it.
        """
        if self._given is not None:
            raise ConfigError(
                "api_key=(hidden): this launcher starts cells in other processes, and a key is never written for them; "
                "leave it in the environment (OPENAI_API_KEY, or what endpoint.api_key_env names)"
            )

    def __reduce__(self) -> tuple[Callable[[], Keys], tuple[()]]:
        """Pickles no key: the other process takes its own out of its environment."""
        self.refuse_other_processes()
        return of_this_process, ()


@functools.cache
def of_this_process() -> Keys:
    """The keys of a process that a launcher started: kept, because the environment is left without them."""
    return Keys(None)


def refuse_passwords(arguments: list[str]) -> None:
    """A user and password in a URL would be written down with the other overrides.

    Raises:
        ConfigError: naming the argument's key alone.
    """
    for argument in arguments:
        if _PASSWORD.search(argument):
            key, equals, _ = argument.partition("=")
            named = "" if not equals or _PASSWORD.search(key) else key + equals  # else all of it is the URL
            instead = "HTTPS_PROXY may hold them" if key.endswith("proxy") else "use OPENAI_API_KEY"
            raise ConfigError(f"{named}(hidden): a URL may not hold user and password; {instead}")


def refuse_in_headers(headers: Mapping[str, str]) -> None:
    """A secret typed as a header's value would be written into the run's .hydra/; `headers` are not resolved yet.

    Raises:
        ConfigError: naming the header alone.
    """
    for name, value in headers.items():
        if _SECRET_HEADER.search(name) and "${oc.env:" not in str(value):
            raise ConfigError(
                f"endpoint.headers.{name}=(hidden): would be written into the run's directory; "
                f"endpoint.headers.{name}='${{oc.env:VARIABLE}}' reads it from the environment"
            )


def take_api_key(arguments: list[str]) -> tuple[list[str], Keys]:
    """The arguments without any api_key=..., and the last key given; quotes around it are not part of it.

    Hydra would write an override into half a dozen files, so the key must be gone before Hydra sees the arguments.
    """
    kept, key = [], None
    for argument in arguments:
        match = _KEY.fullmatch(argument)
        if match is None:
            kept.append(argument)
        else:
            value = match[1].strip()
            key = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    return kept, Keys(key or None)
