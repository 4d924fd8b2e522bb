"""`trie probe`: who is the server, what can it do, is it ready for a run."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from trie.cli.logs import LevelFirst
from trie.cli.secrets import Keys
from trie.config import RunConfig
from trie.errors import TrieError


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trie probe",
        description="Ask a server who it is and what it can do, as a run does before its clock starts, and try with a "
        "few small requests what only these tell: streams, usage, lengths, cached tokens, token ids. Without "
        "arguments: the embedded endpoint.",
    )
    made.add_argument("settings", nargs="*", metavar="endpoint=URL | KEY=VALUE", help="any settings of a run")
    made.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="a folder with config groups of your own")
    made.add_argument("--json", action="store_true", help="print what was found as JSON")
    return made


def main(arguments: list[str], keys: Keys) -> int:
    """Probe and print; log lines go to stderr.

    Raises:
        TrieError: in one line, when the server is not usable with these settings.
    """
    options = parser().parse_intermixed_args(arguments)
    config = settings(options.settings, options.config_dir)
    from trie.preflight.probe import examine
    from trie.run import in_loop  # a mistake above should not wait for it

    _log_to_stderr()
    found = in_loop(examine(config, api_key=keys.key(config.endpoint.api_key_env)))
    usable = found["refused"] is None
    if options.json:
        print(json.dumps(found, indent=1))
        return int(not usable)
    from trie.cli.console import console
    from trie.report.probe import probe_lines
    from trie.report.terminal import print_lines

    print_lines(console(), probe_lines(found))
    return int(not usable)


def settings(overrides: list[str], config_dir: Path | None = None) -> RunConfig:
    """The run that the overrides compose to, of which a probe uses what comes before the clock.

    Raises:
        TrieError: for what is no setting.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from trie.cli import (
        errors,
        group_options,
        hydra_app,
    )
    from trie.config.shipped_groups import CONF

    group_options.install()
    own = [] if config_dir is None else [f"hydra.searchpath=['file://{config_dir.resolve()}']"]
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            return hydra_app.validate(compose("config", overrides=[*overrides, *own]))
    except (HydraException, OmegaConfBaseException) as error:
        raise TrieError(errors.explain(error)) from error


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LevelFirst())
    logger = logging.getLogger("trie")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
