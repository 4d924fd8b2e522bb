"""`trie help`: what a setting means, its type, its default and what is allowed."""

from __future__ import annotations

import argparse
import textwrap

from trie.cli.arguments import Parser
from trie.cli.errors import GROUPS, settings, unknown
from trie.config.setting import Setting
from trie.errors import ConfigError

WIDTH = 100
COLUMN, HELP_WIDTH = 40, 116


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser(
        prog="trie help",
        description="What a setting means, its type, its default and what is allowed; without KEY: of every setting.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("keys", nargs="*", metavar="KEY", help="a setting (duration) or a group (endpoint)")
    return arguments


def main(arguments: list[str]) -> int:
    """Print the settings asked for.

    Raises:
        ConfigError: for a key that does not exist.
    """
    for key in parser().parse_args(arguments).keys or [""]:
        chosen = [setting for setting in settings().values() if _belongs(setting.key, key)]
        if not chosen:
            if key in GROUPS:
                raise ConfigError(f"{key}: is a group of options, no setting; trie --help lists them")
            raise ConfigError(unknown(key))
        print("\n".join(map(described, chosen)))
    return 0


def described(setting: Setting) -> str:
    """A setting in two lines or more: its form, and below it its meaning."""
    unmeasured = "" if setting.rule.measured else "does not change the measurement"
    facts = ", ".join(filter(None, (setting.type_name, setting.allowed, unmeasured)))
    meaning = textwrap.indent(textwrap.fill(setting.rule.doc, WIDTH - 4), "    ")
    return f"{setting.key}={setting.default_text}  ({facts})\n{meaning}"


def meanings() -> str:
    """Every setting with its default and meaning, for `trie --help`."""
    gap = " " * (COLUMN + 2)
    lines = []
    for setting in settings().values():
        begin = f"{setting.key}={setting.default_text}".ljust(COLUMN) + "  "
        lines.append(textwrap.fill(begin + setting.rule.doc, HELP_WIDTH, subsequent_indent=gap, break_on_hyphens=False))
    return "\n".join(lines)


def _belongs(key: str, asked: str) -> bool:
    return not asked or key == asked or key.startswith(f"{asked}.")
