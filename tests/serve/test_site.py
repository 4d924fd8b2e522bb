"""The local site: what it shows, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from helpers.known_servers import Server, written
from yarl import URL

from trie.serve.site import Site

# Ways out of the folder, as a browser would never send them.
WAYS_OUT = (
    "at/../secret/report.html",
    "at/%2e%2e/secret/report.html",
    "at/outputs/../../secret/report.html",
    "at/outputs%2f..%2f..%2fsecret/report.html",
    "at//etc/report.html",
    "at/outputs/link/report.html",
    "at/outputs/a/manifest.json",
    "at/outputs/%00/report.html",
)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[URL]:
    """Two runs and a link to a third one, which lies outside of the folder."""
    folder = tmp_path / "folder"
    for name, server in {"folder/outputs/a": None, "folder/outputs/b": Server(step_s=0.02), "secret": None}.items():
        written(tmp_path / name, server, wall_s=40.0)
    (folder / "outputs" / "link").symlink_to(tmp_path / "secret")
    runner = web.AppRunner(Site(folder).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield URL(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await runner.cleanup()


async def get(url: URL, **headers: str) -> tuple[int, str]:
    async with ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_the_index_has_the_runs_below_the_folder(site: URL) -> None:
    status, text = await get(site)
    assert status == 200
    assert 'href="at/outputs/a/report.html"' in text
    assert 'href="at/outputs/b/report.html"' in text
    assert "secret" not in text
    assert "link" not in text
    assert (await get(site / "rows"))[1].count("<tr>") == 2


async def test_pages_of_runs_and_their_comparison(site: URL, tmp_path: Path) -> None:
    page = await get(site / "at/outputs/a/report.html")
    assert (page[0], "<h1>" in page[1]) == (200, True)
    assert not (tmp_path / "folder/outputs/a/report.html").exists()  # nothing is written
    status, compared = await get(URL(f"{site}compare?run=outputs/a&run=outputs/b"))
    assert (status, "TPOT" in compared) == (200, True)
    assert (await get(URL(f"{site}compare?run=outputs/a")))[0] == 400
    assert (await get(URL(f"{site}compare?run=outputs/a&run=../secret")))[0] == 404


async def test_no_path_leads_out_of_the_folder(site: URL) -> None:
    answers = [await get(URL(f"{site}{path}", encoded=True)) for path in WAYS_OUT]
    assert [status for status, _ in answers] == [404] * len(WAYS_OUT)


async def test_other_names_other_sites_and_other_methods_are_refused(site: URL) -> None:
    """A page whose name is bound to 127.0.0.1 again sends its own name."""
    assert (await get(site, Host="evil.example"))[0] == 403
    assert (await get(site, Host=f"evil.example:{site.port}"))[0] == 403
    assert (await get(site, **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
    assert (await get(site, Host=f"localhost:{site.port}"))[0] == 200
    async with ClientSession() as session, session.post(site) as answer:
        assert answer.status == 405


async def test_pages_may_reach_nothing(site: URL) -> None:
    async with ClientSession() as session, session.get(site / "at/outputs/a/report.html") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "form-action 'none'" in policy
