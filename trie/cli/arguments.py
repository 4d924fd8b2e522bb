"""The parser of the commands' flags."""

from __future__ import annotations

import argparse
from typing import NoReturn

from trie.errors import TrieError


class Parser(argparse.ArgumentParser):
    """Refuses a flag as any other mistake is refused: in one line and with exit 1, where argparse prints its usage."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse.

        Raises:
            TrieError: with its message.
        """
        raise TrieError(f"{message}; {self.prog} --help lists the flags")
