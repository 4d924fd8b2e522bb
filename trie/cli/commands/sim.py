"""`trie sim`: the embedded endpoint as a server of its own."""

from __future__ import annotations

from trie.cli.arguments import Parser
from trie.config import SimConfig
from trie.errors import TrieError


def main(arguments: list[str]) -> int:
    """Serve until SIGINT or SIGTERM.

    Raises:
        TrieError: for settings that are not allowed, or a port that can't be had.
    """
    description = "Serve the embedded endpoint on 127.0.0.1 until Ctrl-C."
    parser = Parser(prog="trie sim", description=description)
    parser.add_argument("--port", type=int, default=8000, help="0: one that the system chooses (default: 8000)")
    parser.add_argument("overrides", nargs="*", metavar="profile=NAME | sim.KEY=VALUE", help="as in a run")
    options = parser.parse_intermixed_args(arguments)
    if not 0 <= options.port < 1 << 16:  # uvloop would take it modulo 65,536
        raise TrieError(f"--port {options.port}: must be between 0 and 65535")
    config = settings(options.overrides)
    from trie.sim.server import run  # a mistake above should not wait for it

    run(config, options.port)
    return 0


def settings(overrides: list[str]) -> SimConfig:
    """The endpoint's settings that the overrides compose to.

    Raises:
        TrieError: for what is is not a setting of the embedded endpoint.
    """
    for override in overrides:
        if not override.startswith(("profile=", "sim.")):
            raise TrieError(f"{override}: is not a setting of the embedded endpoint; use profile=NAME or sim.KEY=VALUE")
    from trie.cli.compose import composed

    return composed(overrides).sim
