"""`trie probe`: who is the server, what can it do, is it ready for a run."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from trie.cli.arguments import Parser
from trie.cli.logs import LevelFirst
from trie.cli.secrets import Keys


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser(
        prog="trie probe",
        description="Ask a server who it is and what it can do, as a run does before its clock starts, and try with a "
        "few small requests what only these tell: streams, usage, lengths, cached tokens, token ids. Without "
        "arguments: the embedded endpoint.",
    )
    arguments.add_argument("settings", nargs="*", metavar="endpoint=URL | KEY=VALUE", help="any settings of a run")
    arguments.add_argument(
        "-cd", "--config-dir", type=Path, metavar="DIR", help="a folder with config groups of your own"
    )
    arguments.add_argument("--json", action="store_true", help="print what was found as JSON")
    return arguments


def main(arguments: list[str], keys: Keys) -> int:
    """Probe and print; log lines go to stderr.

    Raises:
        TrieError: in one line, when the server is not usable with these settings.
    """
    options = parser().parse_intermixed_args(arguments)
    from trie.cli.compose import composed

    config = composed(options.settings, options.config_dir).run()
    from trie.preflight.probe import examine
    from trie.replay.event_loop import in_loop  # a mistake above should not wait for it

    log_to_stderr()
    examination = in_loop(examine(config, api_key=keys.key(config.endpoint.api_key_env)))
    usable = examination.refused is None
    if options.json:
        print(json.dumps(examination.to_json(), indent=1))
        return int(not usable)
    from trie.cli.console import console
    from trie.report.probe import probe_lines
    from trie.report.terminal import print_lines

    print_lines(console(), probe_lines(examination.to_json()))
    return int(not usable)


def log_to_stderr() -> None:
    """Log lines to stderr, for commands that are no Hydra application."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LevelFirst())
    logger = logging.getLogger("trie")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
