"""Properties: any split of any stream, any sequence of outcomes, any row on disk."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

from helpers.manifests import manifest
from helpers.rows import planned_row
from helpers.scripted_server import DONE, HEAD, USAGE, chunked, event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trie.config import EndpointConfig
from trie.endpoint.aiohttp_protocol import StampedProtocol, take_out
from trie.endpoint.exchange import Exchange
from trie.endpoint.request import Request, Requester, fill
from trie.endpoint.request_body import RequestFormat
from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import PartsWriter, read_records, to_table
from trie.storage.record import Outcome, RequestRecord

FMT = RequestFormat(EndpointConfig(base_url="http://h/v1"), "m", stream=True)

TEXT = st.text(max_size=12)
TOKEN = TEXT.map(
    lambda text: b"data: " + json.dumps({"choices": [{"text": text}]}, ensure_ascii=False).encode() + b"\n\n"
)
EVENTS = st.lists(
    st.one_of(
        TOKEN,
        st.sampled_from([event(" b", '"length"'), USAGE, DONE, b": ping\n\n", b"data: {oops\n\n", b"\xef\xbb\xbf",
                         b'data: {"error": {"message": "boom"}}\n\n', b"event: x\r\ndata:\r\n\r\n", b"data: [1]\n\n",
                         b"\r\r"]),
    ),
    max_size=12,
)  # fmt: skip


class Wire(asyncio.Transport):
    """The far end of a connection that takes what is written and sends what a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def writelines(self, _: object) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def received(pieces: list[bytes]) -> tuple[RequestRecord, str]:
    """The row of a request whose answer comes in these reads of the socket."""
    protocol = StampedProtocol(asyncio.get_running_loop())
    protocol.connection_made(Wire())
    request = Request(b"", b"", 0.0, exchange=Exchange(status=200, content_type="text/event-stream"), attempts=1)
    ended = protocol.send(request.exchange, b"", b"")
    for piece in pieces:
        protocol.data_received(piece)
    assert ended.done()
    assert protocol.failure is None
    assert protocol.body is not None
    take_out(protocol.body, request.exchange)
    request.failure = await Requester(None, FMT, max_retries=0, timeout_s=1)._judge(request)  # type: ignore[arg-type]
    record = planned_row(0, 0, 0)
    fill(record, request, 0.0)
    return record, request.answer.text


@settings(deadline=None)
@given(events=EVENTS, cuts=st.lists(st.integers(0, 4000), max_size=30), sizes=st.lists(st.integers(1, 60), min_size=1))
def test_any_split_of_any_stream_gives_the_same_row(events: list[bytes], cuts: list[int], sizes: list[int]) -> None:
    """Split twice: into chunks of HTTP, and into reads of the socket; only the instants may differ."""
    body = b"".join(events)
    http, at, turn = HEAD, 0, 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        http += chunked(body[at : at + size])
        at, turn = at + size, turn + 1
    http += b"0\r\n\r\n"
    places = sorted({0, len(http), *(cut % len(http) for cut in cuts)})
    split = [http[a:b] for a, b in pairwise(places)]
    whole = HEAD + (chunked(body) if body else b"") + b"0\r\n\r\n"

    async def both() -> tuple[Any, Any]:
        return await received([whole]), await received(split)

    (one, text), (other, same) = asyncio.run(both())
    by_reads = {"burst_share"}
    timeless = [field.name for field in fields(RequestRecord) if not field.name.endswith("_s")]
    timeless = [name for name in timeless if name not in by_reads]
    assert {name: getattr(one, name) for name in timeless} == {name: getattr(other, name) for name in timeless}
    assert text == same
    assert (one.first_token_s is None) == (other.first_token_s is None) == (one.chunks == 0)


@st.composite
def sessions(draw: st.DrawFn) -> list[RequestRecord]:
    """Rows as a run may leave them: each session goes well up to a request that fails, is cancelled, or is its last."""
    rows = []
    for session in range(draw(st.integers(0, 8))):
        turns = draw(st.integers(0, 3))
        stop = draw(st.integers(0, turns))
        for turn in range(stop + 1):
            outcome = Outcome.ok if turn < stop else draw(st.sampled_from(Outcome))
            rows.append(draw(request_row(session, turn, turns, outcome)))
    return rows


@st.composite
def request_row(draw: st.DrawFn, session: int, turn: int, turns: int, outcome: Outcome) -> RequestRecord:
    instants = sorted(draw(st.lists(st.floats(0, 100), min_size=5, max_size=5)))
    count = st.none() | st.integers(0, 1 << 53)
    sent = outcome is Outcome.ok or draw(st.booleans())
    seen = outcome is Outcome.ok or (sent and draw(st.booleans()))
    return planned_row(
        session, turn, turns, outcome=outcome,
        error_kind=None if outcome is Outcome.ok else draw(st.sampled_from(["reset", "connect", "timeout"])),
        attempts=draw(st.integers(0, 5)), queued_s=instants[0], sent_s=instants[1] if sent else None,
        attempt_sent_s=instants[1] if sent else None, headers_s=instants[2] if seen else None,
        first_token_s=instants[2] if seen else None, last_token_s=instants[3] if seen else None, end_s=instants[4],
        usage_prompt_tokens=draw(count), usage_completion_tokens=draw(count), usage_cached_tokens=draw(count),
        chunks=draw(st.integers(0, 9)),
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(rows=sessions(), stream=st.booleans())
def test_any_sequence_of_outcomes_gives_consistent_totals(rows: list[RequestRecord], stream: bool) -> None:
    summary = summarize(to_table(rows), manifest(stream=stream))
    outcomes = Counter(str(record.outcome) for record in rows)
    assert dict(summary.requests) == {name: outcomes[name] for name in ("ok", "failed", "cancelled")}
    last = {record.session_id: record for record in rows}.values()
    # A session whose last row went well and is not the final one was cut off while its tool worked.
    well = {True: "completed", False: "cancelled"}
    ends = Counter(well[end.is_final] if end.outcome == "ok" else str(end.outcome) for end in last)
    assert dict(summary.traces) == {name: ends[name] for name in ("completed", "failed", "cancelled")}
    assert summary.facts["errors"] == Counter(record.error_kind for record in rows if record.outcome == "failed")
    assert summary.facts["retries"] == sum(max(record.attempts - 1, 0) for record in rows)
    for stats in summary.per_trace.values():
        assert stats is None or stats.min <= stats.p50 <= stats.p90 <= stats.max
    written = json.dumps(summary.to_json(), allow_nan=False)
    assert Summary.from_json(json.loads(written)).to_json() == json.loads(written)


HINTS = get_type_hints(RequestRecord)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(1 << 63), (1 << 63) - 1),
    float: st.floats(allow_nan=False),
    str: st.text(st.characters(exclude_categories=["Cs"])),
    bool: st.booleans(),
    Outcome: st.sampled_from(Outcome),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in VALUES:
        return VALUES[hint]
    (kind,) = [kind for kind in hint.__args__ if kind is not type(None)]
    return st.none() | VALUES[kind]


ROWS = st.lists(st.builds(RequestRecord, **{name: values(hint) for name, hint in HINTS.items()}), max_size=3)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(ROWS, max_size=3), close=st.booleans())
def test_any_rows_come_back_from_disk(parts: list[list[RequestRecord]], close: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = PartsWriter(Path(folder) / "requests")
        for part in parts:
            writer.write(part)
        if close:
            writer.close()
        rows = read_records(Path(folder) / "requests").to_pylist()
    assert rows == [asdict(row) for part in parts for row in part]


@given(st.text())
def test_what_a_server_says_fits_into_a_conversation(text: str) -> None:
    talk = FMT.conversation()
    talk.ask((b" one",))
    answer = FMT.answer()
    answer.plain(json.dumps({"choices": [{"text": text}]}).encode())
    talk.answered(answer)
    assert json.loads(FMT.body(talk, 1))["prompt"].startswith(" one")
