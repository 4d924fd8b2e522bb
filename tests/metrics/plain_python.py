"""The numbers of summary.json a second time: docs/metrics.md in loops and lists, without trie.metrics and numpy.

A number is computed here as the document says it, section by section, so that the document is enough to do it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
Session = list[Row]
Number = float | None

ENGINE = {  # of docs/engine-catalog.md: vLLM
    "prompt_tokens": "vllm:prompt_tokens_total",
    "cached_tokens": "vllm:prefix_cache_hits_total",
    "completion_tokens": "vllm:generation_tokens_total",
    "requests": "vllm:request_success_total",
    "preemptions": "vllm:num_preemptions_total",
    "queue_s": "vllm:request_queue_time_seconds",
    "ttft_s": "vllm:time_to_first_token_seconds",
    "itl_s": "vllm:inter_token_latency_seconds",
    "e2e_s": "vllm:e2e_request_latency_seconds",
}

OWN = {"prompt_tokens": "usage_prompt_tokens", "completion_tokens": "usage_completion_tokens"}


def summary(rows: Iterable[Row], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """All of summary.json but the verdict."""
    run = Run(list(rows), manifest)
    return {
        "schema_version": 1,
        "traces": {
            name: sum(run.state(session) == name for session in run.sessions)
            for name in ("completed", "failed", "cancelled")
        },
        "requests": {name: sum(row["outcome"] == name for row in run.rows) for name in ("ok", "failed", "cancelled")},
        "wall_time_s": run.wall_s,
        "trace_per_s": ratio(len(run.completed), run.wall_s),
        "per_trace": per_trace(run),
        "per_request": per_request(run),
        "workload": workload(run),
        "errors": commonest(row["error_kind"] or "unknown" for row in run.rows if row["outcome"] == "failed"),
        "requests_failed_share": failed_share(run),
        "retries": sum(max(row["attempts"] - 1, 0) for row in run.rows),
        "rate_limited": sum(row["rate_limited"] for row in run.rows),
        "workers": workers(run),
        "drift": drift(run),
        "censoring": censoring(run),
        "warm_up": dict.fromkeys(("requests", "failed", "seconds", "traces_inside")),  # these runs have none
        "load": None,  # nor do they have an open one
        "cache": cache(run),
        "concurrency": concurrency(run),
        "budget": budget(run),
        "client": client(run),
        "one_read_share": one_read_share(run),
        "engine": engine(run),
        "silence": silence(run),
        "decode": decode(run),
    }


class Run:
    """Rows in sessions, and what several sections need of them."""

    def __init__(self, rows: list[Row], manifest: Mapping[str, Any]) -> None:
        self.rows = sorted(rows, key=lambda row: (row["session_id"], row["turn"]))
        self.manifest = manifest
        self.config = manifest["config"]
        self.stream = self.config["stream"]
        self.ok = [row for row in self.rows if row["outcome"] == "ok"]
        by_id: dict[int, Session] = defaultdict(list)
        self.before: dict[int, Row] = {}  # by id() of a row, the one before it in its session
        for row in self.rows:
            session = by_id[row["session_id"]]
            if session:
                self.before[id(row)] = session[-1]
            session.append(row)
        self.sessions = list(by_id.values())
        self.completed = [session for session in self.sessions if self.state(session) == "completed"]
        end = manifest["end"]
        self.wall_s: float = (
            end["wall_time_s"] if end else max((row["end_s"] for row in rows if row["end_s"] is not None), default=0.0)
        )
        writes_zeros = {row["worker"] for row in rows if row["usage_cached_tokens"] == 0}
        self._omits_zeros = {row["worker"] for row in rows if row["usage_cached_tokens"]} - writes_zeros

    def state(self, session: Session) -> str:
        if any(row["is_final"] and row["outcome"] == "ok" for row in session):
            return "completed"
        return "failed" if any(row["outcome"] == "failed" for row in session) else "cancelled"

    def until(self, session: Session) -> float:
        """When it left its slot."""
        return self.wall_s if self.state(session) == "cancelled" else session[-1]["end_s"]

    def left_out(self, row: Row) -> bool:
        """A 0 that the server did not write."""
        missing = row["usage_cached_tokens"] is None and row["usage_prompt_tokens"] is not None
        return missing and row["worker"] in self._omits_zeros

    def cached(self, row: Row) -> int | None:
        return 0 if self.left_out(row) else row["usage_cached_tokens"]

    def eligible(self, row: Row) -> int | None:
        earlier = self.before.get(id(row))
        return 0 if earlier is None else total([earlier["usage_prompt_tokens"], completion(earlier)])

    def with_hits(self, rows: Iterable[Row]) -> list[Row]:
        ok = (row for row in rows if row["outcome"] == "ok")
        return [row for row in ok if row["usage_prompt_tokens"] is not None and self.cached(row) is not None]

    def hit_rate(self, rows: Iterable[Row]) -> Number:
        rows = self.with_hits(rows)
        return ratio(100 * sum(self.cached(row) or 0 for row in rows), sum(row["usage_prompt_tokens"] for row in rows))


def completion(row: Row) -> int:
    reported = row["usage_completion_tokens"]
    return row["requested_completion_tokens"] if reported is None else reported  # type: ignore[no-any-return]


def accounted(row: Row) -> int:
    return row["new_prompt_tokens"] + row["cached_prompt_tokens"]  # type: ignore[no-any-return]


def total(values: Iterable[Any]) -> Any:
    """A sum; None where one of the values is missing."""
    values = list(values)
    return None if any(value is None for value in values) else sum(values)


def minus(a: Number, b: Number) -> Number:
    return None if a is None or b is None else a - b


def ratio(above: Number, below: Number) -> Number:
    return None if above is None or not below or below < 0 else above / below


def mean(values: Iterable[Number]) -> Number:
    measured = [value for value in values if value is not None]
    return sum(measured) / len(measured) if measured else None


def percentile(values: Iterable[float], percent: float) -> float:
    values = sorted(values)
    place = percent / 100 * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    return values[low] + (values[high] - values[low]) * (place - low)


def statistics(values: Iterable[Number]) -> dict[str, float] | None:
    measured = [value for value in values if value is not None]
    if not measured:
        return None
    percentiles = {f"p{percent}": percentile(measured, percent) for percent in (50, 90, 95, 99)}
    return {
        "mean": sum(measured) / len(measured),
        "min": min(measured),
        **percentiles,
        "max": max(measured),
        "n": len(measured),
    }


def commonest(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))


# Per trace, per request, decode speed


def per_trace(run: Run) -> dict[str, Any]:
    values: dict[str, Callable[[Session], Number]] = {
        "latency_s": trace_latency,
        "ttft_s": lambda session: minus(session[0]["first_token_s"], session[0]["sent_s"]) if run.stream else None,
        "ttfat_s": lambda session: minus(session[-1]["first_token_s"], session[0]["sent_s"]) if run.stream else None,
        "decode_tps": lambda session: mean(speed(row)[0] for row in session) if run.stream else None,
        "cache_hit_rate_pct": lambda session: percent(
            total(map(run.cached, session)), total(row["usage_prompt_tokens"] for row in session)
        ),
        "eligible_cache_hit_rate_pct": lambda session: percent(
            total(map(run.cached, session)), total(map(run.eligible, session))
        ),
    }
    return {key: statistics(map(value, run.completed)) for key, value in values.items()}


def trace_latency(session: Session) -> Number:
    return minus(session[-1]["end_s"], session[0]["sent_s"])


def percent(part: Number, whole: Number) -> Number:
    return ratio(None if part is None else 100 * part, whole)


def per_request(run: Run) -> dict[str, Any]:
    def streamed(value: Callable[[Row], Number]) -> Any:
        return statistics(map(value, run.ok)) if run.stream else None

    return {
        "ttft_s": streamed(lambda row: minus(row["first_token_s"], row["sent_s"])),
        "tpot_s": streamed(lambda row: speed(row)[1]),
        "latency_s": statistics(minus(row["end_s"], row["sent_s"]) for row in run.ok),
        "max_gap_s": streamed(lambda row: row["max_gap_s"]),
        "client_s": statistics(minus(row["sent_s"], row["queued_s"]) for row in run.ok),
    }


def speed(row: Row) -> tuple[Number, Number, str | None]:
    """Decode speed, TPOT, and what the decode section counts it as."""
    first, end, tokens = row["first_token_s"], row["end_s"], completion(row)
    if first is None:
        return None, None, None
    if tokens <= 1:
        return 0.0, None, None
    last = end if row["last_token_s"] is None else row["last_token_s"]
    hidden, with_first = row["hidden_tokens"] or 0, row["first_chunk_tokens"]
    at_first = 1 if with_first is None else max(with_first - hidden, 1) if hidden else with_first
    after = tokens - hidden - at_first
    seen, reference = ratio(after, last - first), ratio(tokens - 1, end - first)
    if why := not_seen(row, last - first, after, seen):
        return None, None, why
    assert seen is not None
    tpot = (last - first) / after if row["chunks"] > 1 else None
    if not hidden and reference is not None and abs(reference - seen) <= 0.1 * seen:
        return reference, tpot, "as the reference"
    return seen, tpot, "adjusted"


def not_seen(row: Row, seconds: float, after: int, seen: Number) -> str | None:
    """Why an answer of several tokens has no speed."""
    reasons = {
        "one_chunk": row["chunks"] == 1,
        "one_read": seconds <= 0,
        "burst": (row["burst_share"] or 0) > 0.5 or after <= 0,
        "too_fast": seen is not None and seen > 20_000,
    }
    return next((why for why, holds in reasons.items() if holds), None)


def decode(run: Run) -> dict[str, Any] | None:
    if not run.stream:
        return None
    kinds = Counter(kind for row in run.ok if (kind := speed(row)[2]))
    hidden = [row["hidden_tokens"] for row in run.ok if row["hidden_tokens"]]
    counted = [row for row in run.ok if row["usage_completion_tokens"] is not None]
    surplus = [n for row in counted if (n := row["chunks"] - row["usage_completion_tokens"]) > 0]
    return {
        "requests": sum(kinds.values()),
        "not_measured": {why: kinds[why] for why in ("one_chunk", "one_read", "burst", "too_fast")},
        "hidden_requests": len(hidden),
        "hidden_tokens": sum(hidden),
        "adjusted_requests": kinds["adjusted"],
        "surplus_requests": len(surplus),
        "surplus_chunks": sum(surplus),
    }


def one_read_share(run: Run) -> Number:
    several = [row for row in run.ok if row["chunks"] > 1]
    at_once = sum(row["last_token_s"] is not None and row["last_token_s"] == row["first_token_s"] for row in several)
    return ratio(at_once, len(several)) if run.stream else None


# Throughput


def workload(run: Run) -> dict[str, Any]:
    tokens: dict[str, Callable[[Row], int]] = {
        "total_prompt_tok_s": lambda row: row["new_prompt_tokens"] + row["cached_prompt_tokens"],
        "cached_prompt_tok_s": lambda row: row["cached_prompt_tokens"],
        "uncached_prompt_tok_s": lambda row: row["new_prompt_tokens"],
        "completion_tok_s": lambda row: min(row["requested_completion_tokens"], completion(row)),
    }
    order = sorted(run.ok, key=lambda row: row["end_s"])
    until = order[-1]["end_s"] if order else 0.0
    if silence(run, rate_limited=True)["dead"]:
        until = max(row["end_s"] for row in run.rows if row["outcome"] == "cancelled")
    return {key: windows(run, [(row["end_s"], count(row)) for row in order], until) for key, count in tokens.items()}


def windows(run: Run, points: list[tuple[float, int]], until: float) -> dict[str, Number]:
    steady, gpus = slope(points, 0.2 * until, until), run.config["num_gpus"]
    return {
        "overall": ratio(sum(tokens for _, tokens in points), run.wall_s),
        "last_30s": slope(points, until - 30, until),
        "steady_state": steady,
        "steady_state_per_gpu": ratio(steady, gpus) if gpus else None,
    }


def slope(points: list[tuple[float, int]], since: float, until: float) -> Number:
    if not points:
        return None
    window = [point for point in points if point[0] >= since]
    return ratio(sum(tokens for _, tokens in window[1:]), until - (window[0][0] if window else since))


# Silence


def silence(run: Run, *, rate_limited: bool = False) -> dict[str, Any]:
    cancelled = (row for row in run.rows if row["outcome"] == "cancelled" and row["sent_s"] is not None)
    opened = [row for row in cancelled if row["end_s"] is not None and (rate_limited or not row["rate_limited"])]
    if not opened:
        none = {"open_requests": 0, "at_end_s": None, "longest_before_s": None, "dead": False}
        return none | {"stuck_requests": 0, "stuck_s": 0.0, "longest_wait_s": None}
    end = max(row["end_s"] for row in opened)
    last_read = max((at for row in run.rows for at in reads(row, opened)), default=0.0)
    at_end = max(end - max(last_read, min(row["sent_s"] for row in opened)), 0.0)
    matters = min(max(2.0, 0.05 * end), 30.0)
    longest = longest_silence(run, opened, last_read) if at_end > matters else None
    wait = max((seconds for row in run.ok for seconds in waits(row)), default=None)
    silent = [end - max(row["attempt_sent_s"], row["last_token_s"] or 0.0) for row in opened]
    stuck = [] if wait is None else [seconds for seconds in silent if seconds > max(matters, 2 * wait)]
    return {
        "open_requests": len(opened),
        "at_end_s": at_end,
        "longest_before_s": longest,
        "dead": longest is not None and at_end > 2 * longest,
        "stuck_requests": len(stuck),
        "stuck_s": sum(stuck),
        "longest_wait_s": wait,
    }


def reads(row: Row, opened: list[Row]) -> list[float]:
    ends = [] if any(row is other for other in opened) else [row["end_s"]]
    return [at for at in (row["first_token_s"], row["last_token_s"], *ends) if at is not None]


def waits(row: Row) -> list[float]:
    first = row["end_s"] if row["first_token_s"] is None else row["first_token_s"]
    spans = (first - row["sent_s"], row["max_gap_s"], minus(row["end_s"], row["last_token_s"]))
    return [span for span in spans if span is not None]


def longest_silence(run: Run, opened: list[Row], last_read: float) -> float:
    """Walks over all instants, with the requests that are in flight, and of them those between two tokens."""
    in_flight: Counter[float] = Counter()
    streaming: Counter[float] = Counter()
    read = set()
    for row in run.rows:
        if row["sent_s"] is None:
            continue
        in_flight[row["sent_s"]] += 1
        read |= set(reads(row, opened))
        if not any(row is other for other in opened):
            in_flight[row["end_s"]] -= 1
        for name, change in (("first_token_s", 1), ("last_token_s", -1)):
            if row[name] is not None:
                streaming[row[name]] += change
    longest, since, flying, between = 0.0, 0.0, 0, 0
    for at in sorted({*in_flight, *streaming}):
        if at > last_read:
            break
        silent = flying > 0 and between <= 0
        longest = max(longest, at - since) if silent else longest
        since = at if at in read or not silent else since
        flying, between = flying + in_flight[at], between + streaming[at]
    gaps = [row["max_gap_s"] for row in run.rows if row["max_gap_s"] is not None]
    return max(longest, percentile(gaps, 90) if gaps else 0.0)


# The run


def failed_share(run: Run) -> Number:
    failed = sum(row["outcome"] == "failed" for row in run.rows)
    return ratio(failed, failed + len(run.ok))


def censoring(run: Run) -> dict[str, Number]:
    cancelled = [session for session in run.sessions if run.state(session) == "cancelled"]
    progress = [sum(row["outcome"] == "ok" for row in s) / (s[0]["num_turns"] + 1) for s in cancelled]
    first = [session[0] for session in run.sessions]
    times: dict[str, Iterable[tuple[Number, bool]]] = {
        "latency": ((minus(run.until(s), began(s)), run.state(s) == "completed") for s in run.sessions),
        "ttft": map(until_first_token, first) if run.stream else (),
        "ttfat": (until_final_token(run, session) for session in run.sessions) if run.stream else (),
        "request_ttft": map(until_first_token, run.rows) if run.stream else (),
        "request_latency": ((minus(row["end_s"], row["sent_s"]), row["outcome"] == "ok") for row in run.rows),
    }
    estimates: dict[str, Number] = {}
    for name, pairs in times.items():
        order = sorted((seconds, not seen) for seconds, seen in pairs if seconds is not None)
        for part, share in (("p50", 0.5), ("p90", 0.1)):
            estimates[f"{name}_km_{part}_s"] = kaplan_meier(order, share)
    return {
        "share": ratio(len(cancelled), len(run.sessions)),
        "incomplete_share": ratio(len(run.sessions) - len(run.completed), len(run.sessions)),
        "incomplete_requests_share": ratio(len(run.rows) - len(run.ok), len(run.rows)),
        "progress": mean(progress),
        **estimates,
    }


def began(session: Session) -> float:
    sent = session[0]["sent_s"]
    return session[0]["queued_s"] if sent is None else sent  # type: ignore[no-any-return]


def until_first_token(row: Row) -> tuple[Number, bool]:
    if row["first_token_s"] is not None:
        return minus(row["first_token_s"], row["sent_s"]), True
    return None if row["outcome"] == "ok" else minus(row["end_s"], row["sent_s"]), False


def until_final_token(run: Run, session: Session) -> tuple[Number, bool]:
    final = session[-1]
    if final["is_final"] and final["first_token_s"] is not None:
        return final["first_token_s"] - began(session), True
    return None if run.state(session) == "completed" else run.until(session) - began(session), False


def kaplan_meier(order: list[tuple[float, bool]], share: float) -> Number:
    """Of times in order, each with whether it was cut off: the first at which so many are left."""
    surviving = 1.0
    for at, (seconds, cut_off) in enumerate(order):
        surviving *= 1.0 if cut_off else 1 - 1 / (len(order) - at)
        if surviving <= share + 1e-12:
            return seconds
    return None


def concurrency(run: Run) -> dict[str, Number]:
    held = sum(run.until(session) - session[0]["queued_s"] for session in run.sessions)
    in_flight = sum(row["end_s"] - row["sent_s"] for row in run.rows if row["sent_s"] is not None)
    return {
        "configured": run.config["concurrency"]["value"],
        "active_traces": ratio(held, run.wall_s),
        "in_flight_requests": ratio(in_flight, run.wall_s),
    }


def budget(run: Run) -> dict[str, Number] | None:
    if not run.completed:
        return None
    rows = [row for session in run.completed for row in session]
    whole = sum(session[-1]["end_s"] - session[0]["queued_s"] for session in run.completed)
    ended = [run.before[id(row)]["end_s"] if id(row) in run.before else row["queued_s"] for row in rows]
    spans = {
        "prefill": [minus(row["first_token_s"], row["attempt_sent_s"]) for row in rows],
        "decode": [minus(row["end_s"], row["first_token_s"]) for row in rows],
        "retries": [minus(row["attempt_sent_s"], row["sent_s"]) for row in rows],
        "tool_wait": [row["queued_s"] - end for row, end in zip(rows, ended, strict=True)],
        "client": [minus(row["sent_s"], row["queued_s"]) for row in rows],
    }
    return {key: ratio(total(values), whole) for key, values in spans.items()}


# Drift and cache


def drift(run: Run) -> dict[str, Any]:
    counted = [row for row in run.ok if row["usage_prompt_tokens"] is not None]
    completed = [row for row in run.ok if row["usage_completion_tokens"] is not None]
    whole = sum(map(accounted, counted))
    off = [row["usage_prompt_tokens"] - accounted(row) for row in counted]
    template = run.manifest["prompts"].get("template")
    added = [template_tokens(run, template, row["turn"]) for row in counted]
    unexplained = [a - b for a, b in zip(off, added, strict=True)]
    differences = [row["requested_completion_tokens"] - row["usage_completion_tokens"] for row in completed]
    requested = sum(row["requested_completion_tokens"] for row in completed)
    short = [row for row, missing in zip(completed, differences, strict=True) if missing > 0]
    by_limit = (None, "length", "max_tokens", "max_output_tokens", "model_length")
    uncounted = [row for row in run.ok if row["usage_completion_tokens"] is None]
    by_itself = [row for row in uncounted if row["finish_reason"] not in by_limit]
    streamed = [row for row in uncounted if row["finish_reason"] in by_limit and row["chunks"]]
    unknown = sum(row["requested_completion_tokens"] for row in by_itself)
    unknown += sum(max(row["requested_completion_tokens"] - row["chunks"], 0) for row in streamed)
    return {
        "requests_with_usage": len(counted),
        "offset_tokens": run.manifest["prompts"]["offset_tokens"],
        "prompt_tokens": sum(off) if off else None,
        "prompt_ratio": ratio(sum(off), whole),
        "prompt_max_abs_tokens": max(map(abs, off), default=None),
        "template_first_tokens": template and template["first_tokens"],
        "template_per_turn_tokens": template and template["per_turn_tokens"],
        "template_ratio": ratio(sum(added), whole) if template else None,
        "unexplained_ratio": ratio(sum(unexplained), whole),
        "unexplained_max_abs_tokens": max(map(abs, unexplained), default=None),
        "completion_short_requests": len(short) if completed else None,
        "completion_short_reasons": commonest(row["finish_reason"] or "no reason" for row in short),
        "completion_asked_tokens": requested if completed else None,
        "completion_missing_tokens": sum(max(missing, 0) for missing in differences) if completed else None,
        "completion_unknown_ratio": ratio(unknown, sum(row["requested_completion_tokens"] for row in run.ok)),
        "completion_short_ratio": ratio(sum(max(missing, 0) for missing in differences), requested),
        "completion_long_ratio": ratio(sum(max(-missing, 0) for missing in differences), requested),
    }


def template_tokens(run: Run, template: Mapping[str, int] | None, turn: int) -> int:
    if template is None:
        return 0
    return template["first_tokens"] - (run.config["endpoint"]["bos_tokens"] or 0) + template["per_turn_tokens"] * turn


def cache(run: Run) -> dict[str, Any]:
    rows = run.with_hits(run.rows)
    hits = {id(row): run.cached(row) or 0 for row in rows}
    eligible = {id(row): tokens for row in rows if (tokens := run.eligible(row)) is not None}
    ceiling = {key: max(tokens - 1, 0) // 16 * 16 for key, tokens in eligible.items()}
    answers = {key: completion(run.before[key]) if key in run.before else 0 for key in eligible}
    lost = [max(ceiling[key] - hits[key] - answers[key] - 128, 0) for key in eligible]
    first = [row for row in rows if row["turn"] == 0]
    whole = [
        all(row["usage_prompt_tokens"] is not None and run.cached(row) is not None for row in session)
        for session in run.completed
    ]
    return {
        "requests_with_cached_tokens": len(rows),
        "impossible_requests": sum(hits[id(row)] > row["usage_prompt_tokens"] for row in rows),
        "omitted_zero_requests": sum(map(run.left_out, run.ok)),
        "traces_measured": whole.count(True),
        "traces_left_out": whole.count(False),
        "hit_rate_pct": run.hit_rate(rows),
        "eligible_ceiling_pct": ratio(100 * sum(ceiling.values()), sum(eligible.values())),
        "lost_pct": ratio(100 * sum(lost), sum(eligible.values())),
        "turn0_hit_share": ratio(sum(hits[id(row)] > 0 for row in first), len(first)),
        "shared_prefix_hit_rate_pct": None,  # no trace here shares one
    }


# Workers, the engine, the client


def workers(run: Run) -> dict[str, Any] | None:
    served = [row for row in run.ok if row["worker"] is not None]
    if not served:
        return None
    names = {row["worker"] for row in run.rows if row["worker"] is not None}
    requests = {name: sum(row["worker"] == name for row in served) for name in names}
    busiest = sorted(names, key=lambda name: (-requests[name], name))[:16]
    later = [row for row in served if id(row) in run.before and run.before[id(row)]["worker"] is not None]
    moved = [row for row in later if run.before[id(row)]["worker"] != row["worker"]]
    stayed = [row for row in later if run.before[id(row)]["worker"] == row["worker"]]
    return {
        "count": len(names),
        "requests": {name: requests[name] for name in busiest},
        "hit_rate_pct": {name: run.hit_rate(row for row in served if row["worker"] == name) for name in busiest},
        "turns": len(later),
        "moved_turns": len(moved),
        "moved_hit_rate_pct": run.hit_rate(moved),
        "stayed_hit_rate_pct": run.hit_rate(stayed),
    }


def engine(run: Run) -> dict[str, Any] | None:
    """Of vLLM's counters."""
    growth = (run.manifest["end"] or {}).get("engine")
    if not growth or not growth["counters"]:
        return None
    said, rows = engine_counts(growth["counters"]), engine_rows(run)
    believed = not any((a := said[key]) and (b := rows[key]) and a < 0.95 * b for key in OWN)
    counted = said if believed else dict.fromkeys(said)
    own = {key: own_at_most(run, key) for key in OWN}
    others = [max(a - b, 0) / a for key in OWN if (a := counted[key]) and (b := own[key]) is not None]
    counts = ("prompt_tokens", "cached_tokens", "completion_tokens", "requests", "preemptions")
    less = {key: minus(counted[key], rows.get(key)) for key in counts}
    longer = {key: minus(rows.get(key), counted[key]) for key in ("queue_s", "ttft_s", "itl_s", "e2e_s")}
    beside = {
        "cancelled": sum(row["outcome"] == "cancelled" for row in run.rows),
        "failed": sum(row["outcome"] == "failed" for row in run.rows),
        "retried": sum(max(row["attempts"] - 1, 0) for row in run.rows),
        "without_usage": sum(row["usage_prompt_tokens"] is None for row in run.ok),
    }
    return {
        "name": "vllm",
        "version": (run.manifest["server"].get("dialect") or {}).get("version"),
        "engines": growth["engines"],
        "settled": growth["settled"],
        "counted": counted,
        "rows": rows,
        "difference": less | longer,
        "beside_rows": beside,
        "comparable": believed and not any(beside.values()),
        "own_at_most": own,
        "others_share": max(others, default=None),
        "disbelieved": None if believed else said,
    }


def own_at_most(run: Run, key: str) -> Number:
    """The most that the run's requests can have made the engine count."""
    excess = [row["usage_prompt_tokens"] - accounted(row) for row in run.rows if row["usage_prompt_tokens"] is not None]
    longer, most, any_reported = max([0, *excess]), 0, False
    for row in run.rows:
        reported = row[OWN[key]]
        asked = accounted(row) + longer if key == "prompt_tokens" else row["requested_completion_tokens"]
        asked = max(asked, reported or 0)
        served = max(row["attempts"] - row["rate_limited"], 1)
        counts = row["outcome"] == "ok" and reported is not None
        most += reported + (served - 1) * asked if counts else served * asked
        any_reported |= counts
    return most if any_reported else None


def engine_counts(counters: Mapping[str, float]) -> dict[str, Number]:
    def grown(name: str) -> float:
        return sum(value for key, value in counters.items() if key.split("{")[0] == name)

    counted: dict[str, Number] = {
        key: ratio(grown(f"{name}_sum"), grown(f"{name}_count")) if key.endswith("_s") else grown(name)
        for key, name in ENGINE.items()
    }
    return counted | {"hit_rate_pct": percent(counted["cached_tokens"], counted["prompt_tokens"])}


def engine_rows(run: Run) -> dict[str, Number]:
    hits = run.with_hits(run.rows)
    prompts = [row["usage_prompt_tokens"] for row in run.ok if row["usage_prompt_tokens"] is not None]
    reported = [row["usage_completion_tokens"] for row in run.ok if row["usage_completion_tokens"] is not None]
    spans = [(minus(row["last_token_s"], row["first_token_s"]), completion(row) - 1) for row in run.ok]
    spans = [(span, tokens) for span, tokens in spans if span is not None and tokens > 0]
    return {
        "prompt_tokens": sum(prompts) if prompts else None,
        "cached_tokens": sum(run.cached(row) or 0 for row in hits) if hits else None,
        "completion_tokens": sum(reported) if reported else None,
        "requests": len(run.ok),
        "hit_rate_pct": run.hit_rate(hits),
        "ttft_s": mean(minus(row["first_token_s"], row["attempt_sent_s"]) for row in run.rows),
        "itl_s": ratio(sum(span or 0.0 for span, _ in spans), sum(tokens for _, tokens in spans)),
        "e2e_s": mean(minus(row["end_s"], row["attempt_sent_s"]) for row in run.ok),
    }


def client(run: Run) -> dict[str, Any]:
    worst = max((row["loop_lag_s"] for row in run.rows), default=None)
    health = (run.manifest["end"] or {"client": {"loop_lag_max_s": worst}}).get("client") or {}
    suspect = sum(row["loop_lag_s"] > 0.005 for row in run.rows)
    return {
        "cpu_share": ratio(health.get("cpu_s"), run.wall_s),
        "workers": None,
        **{key: health.get(key) for key in ("loop_lag_p50_s", "loop_lag_p99_s", "loop_lag_max_s")},
        "suspect_share": ratio(suspect, len(run.rows)),
        "excess": excess(run),
        "calibration": run.manifest["client_calibration"],
    }


def excess(run: Run) -> dict[str, Any]:
    known = any(row["first_token_lag_s"] or row["later_lag_s"] for row in run.rows)
    until_first, after = ("first_token_lag_s", "later_lag_s") if known else ("loop_lag_s", "loop_lag_s")

    def whole(row: Row) -> float:
        return max(row[until_first], row[after])  # type: ignore[no-any-return]

    of_requests: dict[str, list[tuple[Number, float]]] = {
        "ttft_s": [(minus(row["first_token_s"], row["sent_s"]), row[until_first]) for row in run.ok],
        "latency_s": [(minus(row["end_s"], row["sent_s"]), whole(row)) for row in run.ok],
    }
    of_traces: dict[str, list[tuple[Number, float]]] = {"ttft_s": [], "ttfat_s": [], "latency_s": []}
    for session in run.completed:
        first, final = session[0], session[-1]
        lag = sum(map(whole, session))
        if run.stream:
            of_traces["ttft_s"].append((minus(first["first_token_s"], first["sent_s"]), first[until_first]))
            ttfat = minus(final["first_token_s"], first["sent_s"])
            of_traces["ttfat_s"].append((ttfat, lag - whole(final) + final[until_first]))
        of_traces["latency_s"].append((trace_latency(session), lag))
    if not run.stream:
        del of_requests["ttft_s"]
    return {
        "per_request": {key: excesses(pairs) for key, pairs in of_requests.items()},
        "per_trace": {key: excesses(pairs) for key, pairs in of_traces.items()},
    }


def excesses(pairs: list[tuple[Number, float]]) -> dict[str, dict[str, Number]]:
    measured = [(seconds, lag) for seconds, lag in pairs if seconds is not None]
    by_percentile: dict[str, dict[str, Number]] = {}
    for name, percent, least in (("p50", 50, 5), ("p90", 90, 20), ("p99", 99, 100)):
        if len(measured) >= least:
            reported = percentile([seconds for seconds, _ in measured], percent)
            left = percentile([max(seconds - lag, 0.0) for seconds, lag in measured], percent)
            by_percentile[name] = {"seconds": reported - left, "share": reported / left - 1 if left else None}
    return by_percentile
