"""How a callback of Hydra's ends the command."""

from __future__ import annotations

from trie.errors import TrieError


class Stopped(BaseException):
    """Carries a user's error out of a callback, an Exception from which Hydra would turn into a warning."""

    def __init__(self, error: TrieError) -> None:
        super().__init__(str(error))
        self.error = error
