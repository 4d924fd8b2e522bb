"""Log lines on the console and in a run's file; named by conf/hydra/*_logging/trie.yaml."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from trie.one_line import printable


def nobody_reads() -> None:
    """Let what is still printed go nowhere: the pipe behind the standard output is closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class LevelFirst(logging.Formatter):
    """`[info ] message`, with a prefix such as the time in front where one is set."""

    def __init__(self, fmt: str = "", **_: Any) -> None:
        super().__init__(fmt + "[%(level)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.level = f"{record.levelname.lower():<5}"
        # A workload's or a model's name may hold what would steer a terminal.
        return "\n".join(printable(line) for line in super().format(record).split("\n"))


class ConsoleHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the sys.stdout of the moment, which a live display replaces to keep lines above it."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, _: object) -> None:
        """The stream is looked up for each line; the one that the base class would keep is passed over."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name for it
        """Go on in silence where nobody reads any more, as behind `| head`: the run's own log has every line."""
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            nobody_reads()
        else:
            super().handleError(record)


class RunLog(logging.FileHandler):
    """A run's own log. Where it can't be written, that is reported once, and the run goes on while its rows can."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - the base class's name for it
        if not self.reported:
            sys.stderr.write(f"trie: {self.baseFilename}: can't be written: {sys.exc_info()[1]}\n")
        self.reported = True

    reported = False


@contextmanager
def warnings_alone() -> Iterator[None]:
    """Keep what is no warning off the console; the run's own log has it all the same."""
    consoles = [handler for handler in logging.getLogger().handlers if isinstance(handler, ConsoleHandler)]
    levels = [handler.level for handler in consoles]
    for handler in consoles:
        handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler, level in zip(consoles, levels, strict=True):
            handler.setLevel(level)
