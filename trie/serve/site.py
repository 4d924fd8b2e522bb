"""The site on 127.0.0.1: an index, the pages of runs and sweeps, comparisons. It reads and never writes.

Browsers let any page send requests to 127.0.0.1, and a page whose name is bound to that address reads the answers. So a
request is answered only when its Host names this machine and no other site sent it. Paths lead to directories of runs
and sweeps below the folder alone, whatever links and dots they hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.compare.page import page as comparison_page
from trie.errors import TrieError
from trie.metrics.evaluate_run import evaluate
from trie.report.live import evaluate_so_far, page_so_far
from trie.report.page import page_of
from trie.report.run_list import Listed, listed, paths_below
from trie.serve import index
from trie.storage import sweep_dir
from trie.storage.run_dir import MANIFEST, REPORT, SUMMARY, RunDir
from trie.storage.run_lock import goes_on
from trie.sweep.page import PAGE
from trie.sweep.page import page as sweep_page
from trie.sweep.table import rows as sweep_rows

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_COMPARED = 26
# A page runs its own scripts, as its own policy says, and reaches nothing here.
PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Site:
    """The site of a folder.

    Args:
        folder: that all paths are below.
        parts: of it that are looked through; the folder itself where there are none.
    """

    def __init__(self, folder: Path, parts: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._parts = parts or (folder,)
        self._ended: dict[Path, tuple[int, Listed]] = {}  # runs that will not change, by when their summary was written
        self._busy = asyncio.Lock()  # one page is computed at a time

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[_guard])
        app.router.add_get("/", self._index)
        app.router.add_get("/rows", self._rows)
        app.router.add_get("/compare", self._compare)
        app.router.add_get(f"/at/{{place:.+}}/{{page:{REPORT}|{PAGE}}}", self._page)
        return app

    async def _index(self, _: web.Request) -> web.Response:
        entries = await self._computed(self._entries)
        return _html(index.index(entries, self._folder), index.policy())

    async def _rows(self, _: web.Request) -> web.Response:
        return _html(index.rows(await self._computed(self._entries), self._folder), index.policy())

    async def _page(self, request: web.Request) -> web.Response:
        directory = self._directory(request.match_info["place"])
        name = request.match_info["page"]
        return _html(await self._computed(lambda: _page_of(directory, name)), PAGE_POLICY)

    async def _compare(self, request: web.Request) -> web.Response:
        places = request.query.getall("run", [])
        if not 2 <= len(places) <= MOST_COMPARED:
            raise web.HTTPBadRequest(text=f"give two runs or sweeps or more, {MOST_COMPARED} at most")
        paths = [self._directory(place) for place in places]
        return _html(await self._computed(lambda: comparison_page(compare(paths, Settings())).html()), PAGE_POLICY)

    async def _computed(self, work: Callable[[], T]) -> T:
        """The result of work in a thread; a user's error is an answer of one line."""
        try:
            async with self._busy:
                return await asyncio.to_thread(work)
        except TrieError as error:
            raise web.HTTPBadRequest(text=str(error)) from error

    def _entries(self) -> list[Listed]:
        paths = [path for part in self._parts if part.is_dir() for path in paths_below(part)]
        return sorted(map(self._listed, paths), key=lambda entry: entry.started, reverse=True)

    def _listed(self, path: Path) -> Listed:
        try:
            written = (path / SUMMARY).stat().st_mtime_ns
        except OSError:  # it goes on, or is a sweep
            return listed(path)
        if self._ended.get(path, (0,))[0] != written:
            self._ended[path] = written, listed(path)
        return self._ended[path][1]

    def _directory(self, place: str) -> Path:
        """The directory of a run or a sweep below the folder, by its path from there.

        Raises:
            HTTPNotFound: for everything else.
        """
        root = self._folder.resolve()
        try:
            real = (root / place).resolve()
        except (OSError, ValueError, RuntimeError):
            raise web.HTTPNotFound from None
        if not real.is_relative_to(root) or not ((real / MANIFEST).is_file() or sweep_dir.is_sweep(real)):
            raise web.HTTPNotFound
        return self._folder / real.relative_to(root)


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer requests to this machine alone."""
    if _host(request.headers.get("Host", "")) not in HOSTS:
        raise web.HTTPForbidden(text="this site answers under 127.0.0.1 and localhost alone")
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise web.HTTPForbidden(text="this site answers no other site")
    return await handler(request)


def _host(header: str) -> str | None:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _html(text: str, policy: str) -> web.Response:
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return web.Response(text=text, content_type="text/html", headers=headers)


def _page_of(directory: Path, name: str) -> str:
    """The page of a run or a sweep: the one on disk, or a new one where there is none."""
    file = directory / name
    if file.is_file() and not file.is_symlink():
        return file.read_text(encoding="utf-8")
    if name == PAGE:
        return sweep_page(directory, sweep_rows(sweep_dir.find(directory))).html()
    run = RunDir.open(directory)
    if run.manifest().end is None and goes_on(directory):
        return page_so_far(evaluate_so_far(run)).html()
    return page_of(evaluate(run)).html()
