"""`trie record`: a proxy in front of a server, which notes lengths and times of the traffic as a workload."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from trie.cli.arguments import Parser
from trie.config import EndpointConfig
from trie.errors import ConfigError, RunDirError, TrieError
from trie.storage.run_dir import whole, write_json
from trie.workload.row import MAX_LATENCY_S

if TYPE_CHECKING:
    import argparse

    from trie.recording.sessions import Recording, Snapshot
    from trie.workload.importers.fidelity import Fidelity

log = logging.getLogger("trie")
WRITTEN_EVERY_S = 60.0


def parser() -> Parser:
    """The command's arguments."""
    about = "Pass requests on to a server and note their lengths and times, without any text, until Ctrl-C."
    arguments = Parser(prog="trie record", description=about)
    add = arguments.add_argument
    add("--upstream", required=True, metavar="URL", help="base URL of the server, up to and including /v1")
    add("--port", type=int, default=0, help="on 127.0.0.1, for your clients (default: one that the system chooses)")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the JSONL file to write")
    add(
        "--session-header",
        default="X-Session-ID",
        metavar="NAME",
        help="by which clients name their session; without it the prompts tell (default: X-Session-ID)",
    )
    add(
        "--cap-wait", type=float, default=MAX_LATENCY_S, metavar="S", help="the longest wait; longer ones are cut to it"
    )
    return arguments


def main(arguments: list[str]) -> int:
    """Record until SIGINT or SIGTERM, and write what was complete.

    Raises:
        TrieError: for arguments that are not allowed, a port that can't be had, or when nothing was recorded.
    """
    options = parser().parse_args(arguments)
    _check(options)
    from trie.recording.sessions import Recording  # numpy, not for --help
    from trie.replay.event_loop import in_loop
    from trie.workload.importers.session import Options

    recording = Recording(Options(cap_wait_s=min(options.cap_wait, MAX_LATENCY_S)))
    in_loop(_record(options, recording))
    fidelity = _write(recording.snapshot(), options.output)
    if not fidelity.traces:
        dropped = ", ".join(f"{count} {reason}" for reason, count in fidelity.dropped.most_common())
        raise TrieError(f"nothing was recorded ({dropped or 'no request came'}); {options.output} was not written")
    from trie.cli.console import console
    from trie.report.terminal import print_lines

    print_lines(console(), fidelity.lines())
    print(f"{options.output}: trie workload={options.output} replays it")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what would end in a failure later, after hours of recording."""
    if not 0 <= options.port < 1 << 16:
        raise ConfigError(f"--port {options.port}: must be between 0 and 65535")
    if not options.cap_wait > 0:
        raise ConfigError(f"--cap-wait {options.cap_wait:g}: must be above 0")
    try:
        EndpointConfig(base_url=options.upstream)
    except ConfigError as error:
        raise ConfigError(str(error).replace("endpoint.base_url=", "--upstream ")) from None
    if options.output.exists():
        raise ConfigError(f"--output {options.output}: exists; choose a new file")
    if not options.output.parent.is_dir():
        raise RunDirError(f"--output {options.output}: there is no folder {options.output.parent}")


async def _record(options: argparse.Namespace, recording: Recording) -> None:
    """Serve until a signal, and write what there is now and then."""
    from yarl import URL

    from trie.recording.proxy import HOST, Proxy
    from trie.signals import handled

    stopped = asyncio.Event()
    upstream = URL(options.upstream)
    with handled() as signals, signals.replaying(stopped.set):
        async with Proxy(upstream, recording, options.session_header).serving(options.port) as port:
            base = f"http://{HOST}:{port}{upstream.path.rstrip('/')}"
            print(f"recording {upstream}: set the base URL of your clients to {base}; Ctrl-C ends it", flush=True)
            while not stopped.is_set():
                noted = recording.requests
                try:
                    await asyncio.wait_for(stopped.wait(), WRITTEN_EVERY_S)
                except TimeoutError:
                    if recording.requests > noted:
                        await asyncio.to_thread(_write, recording.snapshot(), options.output)


def _write(recorded: Snapshot, output: Path) -> Fidelity:
    """What is complete, whole or not at all; nothing where there is nothing."""
    from trie.workload.load import IMPORT_REPORT

    content, fidelity = recorded.rows()
    if content:
        with whole(output) as aside:
            aside.write_bytes(content)
        report = {"sha256": hashlib.sha256(content).hexdigest(), **fidelity.to_json()}
        write_json(output.with_name(output.name + IMPORT_REPORT), report)
    return fidelity
