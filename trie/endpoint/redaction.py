"""Secrets in text that a server sent, hidden before they reach a row, a log or an error."""

from __future__ import annotations

from collections.abc import Iterable

HIDDEN = "(hidden)"
SHORTEST_SECRET = 6  # characters; what is shorter, such as EMPTY, hides nothing and is found in many words


class Redaction:
    """Hides secrets in text: some servers repeat keys in their errors."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((s for s in set(secrets) if len(s) >= SHORTEST_SECRET), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """The text without them, and without the beginning of one at its end, where a long text was cut."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
            cut = text.removesuffix("...")
            lengths = range(len(secret) - 1, SHORTEST_SECRET - 1, -1)
            length = next((length for length in lengths if cut.endswith(secret[:length])), 0)
            text = cut[:-length] + HIDDEN if length else text
        return text
