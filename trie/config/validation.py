"""How a setting is refused: key, what was found, what is allowed, in one form for all of them."""

from __future__ import annotations

import re

from trie.errors import ConfigError


def require(ok: bool, key: str, found: object, allowed: str) -> None:
    """Refuse a value in the one form that every settings error has.

    Raises:
        ConfigError: when `ok` is false.
    """
    if not ok:
        raise ConfigError(f"{key}={found}: must be {allowed}")


MAX_SECONDS = 1e8  # three years: above it a time is a mistake
MAX_WHOLE = 1 << 53  # the same for counts and seeds
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110's token


def require_seconds(key: str, found: float) -> None:
    """Refuse what is no positive time; NaN and infinity are none.

    Raises:
        ConfigError: naming the key.
    """
    allowed = f"at most {MAX_SECONDS:.0f} (seconds)" if found > MAX_SECONDS else "above 0 (seconds)"
    require(0 < found <= MAX_SECONDS, key, found, allowed)


def require_whole(key: str, found: int | None, least: int, most: int = MAX_WHOLE) -> None:
    """Refuse a count or a seed out of its range; None is one that was not given.

    Raises:
        ConfigError: naming the key.
    """
    allowed = f"{least} or more" if most == MAX_WHOLE and (found or 0) < least else f"from {least} to {most}"
    require(found is None or least <= found <= most, key, found, allowed)
