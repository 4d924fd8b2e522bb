"""`trie serve`: a small local site with all runs below a folder."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path

from trie.cli.arguments import Parser
from trie.errors import RunDirError, TrieError
from trie.storage.run_dir import FOLDERS

HOST = "127.0.0.1"


def parser() -> Parser:
    """The command's arguments."""
    about = "A site on this machine alone: runs and sweeps newest first, those that go on refreshed, several compared."
    arguments = Parser(prog="trie serve", description=about)
    where = f"a folder of runs (default: {' and '.join(FOLDERS)} where you are)"
    arguments.add_argument("directory", type=Path, nargs="?", metavar="DIR", help=where)
    arguments.add_argument("--port", type=int, default=0, help="default: one that the system chooses")
    arguments.add_argument("--open", action="store_true", help="open the site in the browser")
    return arguments


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C.

    Raises:
        TrieError: when there is no such folder, or the port is taken.
    """
    options = parser().parse_args(arguments)
    if not 0 <= options.port < 1 << 16:
        raise TrieError(f"--port {options.port}: must be between 0 and 65535")
    if options.directory is not None and not options.directory.is_dir():
        raise RunDirError(f"{options.directory}: no such directory; give a folder of runs")
    try:
        asyncio.run(_serve(options.directory, options.port, browser=options.open))
    except KeyboardInterrupt:
        print()
    return 0


async def _serve(directory: Path | None, port: int, *, browser: bool) -> None:
    from aiohttp import web  # heavy

    from trie.serve.site import Site

    parts = [] if directory else [Path(folder) for folder in FOLDERS]
    runner = web.AppRunner(Site(directory or Path(), parts).app(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise TrieError(f"--port {port}: {error.strerror}") from error
        address = f"http://{HOST}:{runner.addresses[0][1]}/"
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if browser:
            webbrowser.open(address)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
