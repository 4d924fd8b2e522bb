"""The console that reports are printed on."""

from __future__ import annotations

import shutil
import sys

from rich.console import Console

PIPE_WIDTH = 120  # in a pipe or a file, where nobody's window sets one


def console() -> Console:
    """As wide as the window, or as COLUMNS says; in a pipe wide enough for the reference's own layout."""
    if sys.stdout.isatty():
        return Console(file=sys.stdout)
    width = shutil.get_terminal_size((PIPE_WIDTH, 25)).columns
    return Console(file=sys.stdout, width=width, force_terminal=False, color_system=None)
