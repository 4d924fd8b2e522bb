"""Every fault of the table, on real sockets and on both event loops: the row is what docs/records.md says it is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import uvloop
from fault_table import FAULTS, TELLS, Fault
from helpers.scripted_server import plain_response, playing
from lab import KEY, MAX_RETRIES, Observed, ask, observe

from trie.config import Api, EndpointConfig
from trie.endpoint.connection import Connections
from trie.endpoint.request import Requester
from trie.endpoint.request_body import RequestFormat
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord

WATCHDOG_S = 40.0  # the whole table takes a tenth of it
RESCUED = [fault for fault in FAULTS if fault.attempts == MAX_RETRIES + 1 and fault.place == "scripted"]
PLAYED = [*FAULTS, *(replace(fault, what=f"{fault.what}, over chat", api=Api.chat, script=fault.chat, chat=())
                     for fault in FAULTS if fault.chat)]  # fmt: skip
LIGHT = [fault for fault in PLAYED if not fault.heavy]
FOLLOWED = [fault for fault in LIGHT if fault.place == "scripted" and fault.stream and not fault.poisons]
RUNNERS: dict[str, Callable[..., Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


def ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        return probe.connect_ex(("::1", 9)) != 99  # EADDRNOTAVAIL


def ids(fault: Fault) -> str:
    return fault.what


@pytest.fixture(scope="module", params=RUNNERS)
def observed(request: pytest.FixtureRequest) -> dict[str, Observed]:
    """The whole table in one loop: first what is large, then the rest at once, last what takes every descriptor."""

    async def everything() -> dict[str, Observed]:
        alone = [fault for fault in LIGHT if fault.place == "no_files"]
        large = [fault for fault in LIGHT if fault.large]
        others = [fault for fault in LIGHT if fault not in alone and not fault.large]
        record: dict[str, Observed] = {}
        async with asyncio.timeout(WATCHDOG_S):
            for together in (large, others, alone):
                seen = await asyncio.gather(*map(observe, together))
                record.update(zip((fault.what for fault in together), seen, strict=True))
        return record

    return RUNNERS[request.param](everything())  # type: ignore[no-any-return]


@pytest.mark.parametrize("fault", LIGHT, ids=ids)
def test_the_row_is_as_declared(observed: dict[str, Observed], fault: Fault) -> None:
    if fault.place == "ipv6" and not ipv6():
        pytest.skip("no IPv6 here")
    check(observed[fault.what].row, fault)
    if fault.calls:
        calls = observed[fault.what].answer.tool_calls
        assert [(call.id, call.name, call.arguments) for call in calls] == list(fault.calls)


def check(record: RequestRecord, fault: Fault) -> None:
    """Hold a row to its declaration, and to what holds for every row."""
    outcome = Outcome.ok if fault.error_kind is None else Outcome.failed
    expected = (outcome, fault.error_kind, fault.status, fault.attempts)
    assert (record.outcome, record.error_kind, record.http_status, record.attempts) == expected, record.error
    assert {name: getattr(record, name) for name in fault.row} == dict(fault.row)
    assert fault.words in (record.error or "")
    assert (record.error is None) == (fault.error_kind is None)
    if record.error is not None:
        assert record.error.isprintable()
        assert 0 < len(record.error) <= 300
        assert KEY not in record.error
    instants = [record.sent_s, record.headers_s, record.first_token_s, record.last_token_s, record.end_s]
    reached = [instant for instant in instants if instant is not None]
    assert record.sent_s is not None, "the first attempt began, whether it record a connection or not"
    assert reached == sorted(reached)
    assert record.end_s is not None
    assert to_table([record]).num_rows == 1


@pytest.mark.parametrize("fault", FOLLOWED, ids=ids)
def test_the_next_request_goes_well(observed: dict[str, Observed], fault: Fault) -> None:
    after = observed[fault.what].after
    assert after is not None
    assert (after.outcome, after.attempts, after.chunks) == (Outcome.ok, 1, 2), after.error


async def test_what_is_tried_again_is_rescued() -> None:
    """Each fault that is worth another attempt, once: the second attempt's answer counts, and both attempts."""
    async with asyncio.timeout(WATCHDOG_S):
        record = await asyncio.gather(*(observe(replace(fault, attempts=1)) for fault in RESCUED))
    assert len(record) > 15
    for fault, seen in zip(RESCUED, record, strict=True):
        assert (seen.row.outcome, seen.row.attempts, seen.row.chunks) == (Outcome.ok, 2, 2), fault.what


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.heavy], ids=ids)
async def test_heavy_rows_are_as_declared(fault: Fault) -> None:
    async with asyncio.timeout(fault.timeout_s):
        check((await observe(fault)).row, fault)


async def test_a_redirect_gets_no_request_and_no_key() -> None:
    async with playing(lambda _: ()) as (elsewhere, got):
        away = plain_response("307 Go", b"", f"Location: {elsewhere}/completions?token=t0ken")
        async with playing(lambda _: (away,)) as (url, asked):
            endpoint = EndpointConfig(base_url=url)
            fmt = RequestFormat(endpoint, "m", stream=True)
            async with Connections(endpoint, url, api_key=KEY) as connections:
                record = await ask(Requester(connections, fmt, max_retries=2, timeout_s=5.0), fmt)
            await asyncio.sleep(TELLS)
    assert f"redirects to {elsewhere}/completions" in (record.error or "")
    assert "t0ken" not in (record.error or "")
    assert len(asked) == 1
    assert not got


def test_each_fault_has_a_name_of_its_own() -> None:
    assert len({fault.what for fault in FAULTS}) == len(FAULTS)
