"""The closed loop in virtual time, worked by hand. All times are binary fractions, so that equality is exact."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from trie.config import ConcurrencyConfig, EndpointConfig, RunConfig, SimConfig, WorkloadConfig
from trie.errors import ConfigError
from trie.replay.virtual import VirtualReplay
from trie.storage.record import Outcome, RequestRecord
from trie.workload.trace import Trace

# A token of prefill costs 1/1024 s, a step 1/64 s and 1/1024 s for each further request, a request's way in 1/256 s.
TOKEN, BASE, EXTRA, OVERHEAD = 1 / 1024, 1 / 64, 1 / 1024, 1 / 256
NUMBERS = {
    "prefill_tok_s": 1024.0,
    "decode_base_s": BASE,
    "decode_per_request_s": EXTRA,
    "request_overhead_s": OVERHEAD,
    "block_tokens": 4,
}


def single(prompt: int, answer: int, row: int = 0) -> Trace:
    return Trace(prompt, (), (), (), answer, row=row)


def settings(concurrency: int = 1, sim: dict | None = None, **changed) -> RunConfig:
    return RunConfig(
        workload=WorkloadConfig(path="traces"),
        endpoint=EndpointConfig(name="sim", ignore_eos=True),
        concurrency=ConcurrencyConfig(concurrency),
        sim=SimConfig(**{**NUMBERS, **(sim or {})}),
        **{"duration": 1000.0, "max_traces": 1, **changed},
    )


def replayed(config: RunConfig, traces: Sequence[Trace], **callbacks) -> tuple[str, list[RequestRecord]]:
    rows: list[RequestRecord] = []
    reason = VirtualReplay(config, traces, write=rows.extend, **callbacks).run()
    return reason, rows


def test_a_session_sends_its_turns_behind_their_tool_waits():
    """Prompt 10, answer 6, a wait of 1/2 s, 5 tokens of output, answer 2: of 21 tokens 12 are cached."""
    trace = Trace(10, (6,), (5,), (0.5,), 2, row=7)
    reason, (first, second) = replayed(settings(), [trace])
    assert reason == "max_traces"
    token = OVERHEAD + 10 * TOKEN
    end = token + 5 * BASE
    assert (first.queued_s, first.sent_s, first.attempt_sent_s, first.headers_s) == (0.0, 0.0, 0.0, 0.0)
    assert (first.first_token_s, first.last_token_s, first.end_s) == (token, end, end)
    assert (first.chunks, first.max_gap_s, first.finish_reason, first.http_status) == (6, BASE, "length", 200)
    assert (first.trace_id, first.turn, first.num_turns, first.is_final, first.attempts) == (7, 0, 1, False, 1)
    due = end + 0.5
    token = due + OVERHEAD + 9 * TOKEN
    assert (second.queued_s, second.sent_s, second.first_token_s, second.end_s) == (due, due, token, token + BASE)
    assert (second.usage_prompt_tokens, second.usage_completion_tokens, second.usage_cached_tokens) == (21, 2, 12)
    assert (second.new_prompt_tokens, second.cached_prompt_tokens, second.is_final) == (5, 16, True)


def test_a_closed_loop_on_one_slot_serves_at_the_rate_of_the_slot_and_each_waits_for_all_the_others():
    """Service 64/1024 + 3/64 s; with 4 in the loop and no think time, latency is 4 services once all wait."""
    config = settings(4, {"max_running": 1, "request_overhead_s": 0.0, "cache_blocks": 0}, max_traces=40)
    _, rows = replayed(config, [single(64, 4)])
    service = 64 * TOKEN + 3 * BASE
    assert [row.end_s for row in rows] == [service * n for n in range(1, 41)]
    assert {row.end_s - row.sent_s for row in rows[4:]} == {4 * service}
    assert {row.first_token_s - row.sent_s for row in rows[4:]} == {3 * service + 64 * TOKEN}


def test_slots_take_the_traces_in_order_and_begin_again_with_the_first():
    traces = [single(4, 1, 0), single(8, 1, 1), single(16, 1, 2)]
    _, rows = replayed(settings(2, max_traces=5), traces)
    assert [(row.session_id, row.trace_id) for row in sorted(rows, key=lambda row: row.session_id)] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 0),
        (4, 1),
    ]


def test_the_deadline_cuts_off_what_is_open_and_forgets_what_waits_for_its_tool():
    """At 1/2 s: session 0 decodes, session 1 waits for a tool that takes 9 s."""
    traces = [single(64, 1000), Trace(4, (1,), (4,), (9.0,), 1, row=1)]
    reason, rows = replayed(settings(2, max_traces=None, duration=0.5), traces)
    assert reason == "deadline"
    [done, cut] = rows
    assert (done.session_id, done.outcome) == (1, Outcome.ok)
    assert (cut.outcome, cut.error_kind, cut.end_s, cut.usage_prompt_tokens) == ("cancelled", "deadline", 0.5, None)
    first = OVERHEAD + 64 * TOKEN
    assert cut.first_token_s == first
    assert cut.chunks == 1 + int((0.5 - first) / BASE)
    assert cut.last_token_s == first + (cut.chunks - 1) * BASE


def test_refusals_are_tried_again_after_the_pauses_of_the_client():
    """All fail: 429 says that it may come back at once, others are waited out for 1/4 and 1/2 s."""
    sim = {"fault_rate": 1.0, "faults": ["http_429", "http_503", "disconnect"]}
    config = settings(1, sim, max_retries=2, max_failure_rate=None)
    _, [row] = replayed(config, [single(8, 2)])
    assert (row.attempts, row.rate_limited, row.sent_s, row.attempt_sent_s, row.end_s) == (3, 1, 0.0, 0.5, 0.5)
    assert (row.outcome, row.error_kind, row.http_status) == ("failed", "disconnected", None)
    _, [row] = replayed(settings(1, {**sim, "faults": ["http_503"]}, max_retries=3), [single(8, 2)])
    assert (row.end_s, row.error) == (0.25 + 0.5 + 1.0, "HTTP 503: injected fault http_503")


@pytest.mark.parametrize(
    ("fault", "stream", "kind", "attempts"),
    [
        ("reset", True, "reset", 1),  # tokens had come
        ("reset", False, "reset", 3),
        ("error_event", True, "error_event", 1),
        ("truncated", True, "truncated", 1),
        ("truncated", False, "bad_response", 1),
        ("empty", True, "no_tokens", 1),
        ("empty", False, "no_tokens", 1),
        ("http_500", False, "http_status", 3),
    ],
)
def test_each_fault_is_called_what_a_real_run_calls_it(fault, stream, kind, attempts):
    config = settings(1, {"fault_rate": 1.0, "faults": [fault]}, stream=stream, max_retries=2)
    _, [row] = replayed(config, [single(8, 5)])
    assert (row.outcome, row.error_kind, row.attempts) == ("failed", kind, attempts)


def test_a_stalled_answer_ends_when_the_pause_does_and_so_does_its_session():
    config = settings(1, {"fault_rate": 1.0, "faults": ["stall"]}, max_traces=2)
    _, [first, second] = replayed(config, [single(64, 5)])
    token = OVERHEAD + 64 * TOKEN
    assert (first.first_token_s, first.end_s, first.max_gap_s) == (token, token + 1.0, 1.0)
    assert second.queued_s == token + 1.0


def test_a_request_is_given_up_after_its_timeout_and_leaves_its_slot():
    """Alone on the slot for 1/2 s, while another waits in the queue for as long: both time out."""
    config = settings(2, {"max_running": 1}, timeout=0.5, max_traces=2)
    _, rows = replayed(config, [single(64, 1000), single(64, 2, 1)])
    assert [(row.session_id, row.error_kind, row.end_s, row.chunks > 0) for row in rows] == [
        (0, "timeout", 0.5, True),
        (1, "timeout", 0.5, False),
    ]
    assert rows[0].error == "no whole answer within 0.5 s"


def test_a_failed_slot_pauses_twice_as_long_each_time_and_an_outage_lets_one_session_a_second_through():
    """One slot: 0.1, 0.2, 0.4 s; the fourth failure in a row is an outage: then one a second, or after 0.8 s."""
    config = settings(1, {"fault_rate": 1.0, "faults": ["http_500"]}, max_retries=0, max_traces=6)
    _, rows = replayed(config, [single(8, 1)])
    gaps = [later.sent_s - earlier.sent_s for earlier, later in pairwise(rows)]
    assert gaps == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])


def test_a_limit_on_failures_ends_the_run():
    config = settings(1, {"fault_rate": 1.0, "faults": ["http_500"]}, max_retries=0, max_traces=None)
    rows: list[RequestRecord] = []
    reason, _ = replayed(config, [single(8, 1)], note=rows.append, limit_reached=lambda: "max_failures")
    assert (reason, len(rows)) == ("max_failures", 1)


def test_an_answer_may_end_by_itself_and_the_next_turn_holds_what_came():
    config = settings()
    config.endpoint.ignore_eos = None
    _, [first, second] = replayed(config, [Trace(10, (100,), (5,), (0.0,), 1)])
    assert 49 <= first.usage_completion_tokens <= 100
    assert first.finish_reason == ("stop" if first.usage_completion_tokens < 100 else "length")
    assert second.usage_prompt_tokens == 10 + first.usage_completion_tokens + 5


@pytest.mark.parametrize(("bos", "calibrate", "prompt"), [(None, True, 10), (None, False, 11), (1, False, 10)])
def test_what_the_server_puts_in_front_is_taken_off_the_first_prompt_where_it_is_known(bos, calibrate, prompt):
    config = settings(1, {"add_bos": True})
    config.endpoint.bos_tokens, config.prompts.calibrate = bos, calibrate
    _, [first, second] = replayed(config, [Trace(10, (1,), (5,), (0.0,), 1)])
    assert (first.usage_prompt_tokens, second.usage_prompt_tokens) == (prompt, prompt + 6)


def test_gaps_beyond_the_stall_timeout_have_no_answer():
    config = settings(1, {"fault_rate": 1.0, "faults": ["stall"]}, stall_timeout=0.5)
    with pytest.raises(ConfigError, match=r"stall_timeout=0.5: must be null, or above 1 seconds, with clock=virtual"):
        replayed(config, [single(64, 5)])


def test_a_run_can_be_stopped_from_outside_and_says_so_in_the_rows():
    rows: list[RequestRecord] = []
    replay = VirtualReplay(settings(2, max_traces=None), [single(8, 3)], write=rows.extend)
    replay.stop("interrupted")
    assert replay.run() == "interrupted"
    assert rows == []


def test_the_same_settings_give_the_same_rows():
    sim = {"fault_rate": 0.2, "faults": ["http_503", "reset", "stall"], "max_running": 3}
    config = settings(5, sim, max_traces=200, max_failure_rate=None)
    traces = [Trace(30 + n, (5, 7), (9, 11), (0.1, 0.3), 4 + n, row=n) for n in range(7)]
    assert replayed(config, traces) == replayed(config, traces)
