"""`trie schema`: a JSON schema of configuration files, for editors."""

from __future__ import annotations

import json

from trie.cli.arguments import Parser
from trie.config.json_schema import json_schema


def parser() -> Parser:
    """The command's arguments."""
    about = "A JSON schema of configuration files, with which editors complete keys and mark mistakes."
    arguments = Parser(prog="trie schema", description=about)
    what = "a group (workload, endpoint, sim ...) for the files of its options; without: experiments and sweeps"
    arguments.add_argument("group", nargs="?", default="", metavar="GROUP", help=what)
    return arguments


def main(arguments: list[str]) -> int:
    """Print the schema.

    Raises:
        ConfigError: for a group that there is not.
    """
    print(json.dumps(json_schema(parser().parse_args(arguments).group), indent=1))
    return 0
