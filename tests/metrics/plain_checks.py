"""Which checks fail, and at which level: docs/checks.md in plain Python, without trie.metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from plain_python import percent as percent_of
from plain_python import ratio

Json = Mapping[str, Any]


def failing(summary: Json, manifest: Json) -> dict[str, str]:
    """The level of each check that fails, by its id."""
    limits = manifest["config"]["limits"]
    rules = (outcomes, lengths, client, streams, silence, steadiness, circumstances, cache, engine)
    return {name: level for rule in rules for name, level, fails in rule(summary, manifest, limits) if fails}


Rules = Iterator[tuple[str, str, Any]]


def above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def outcomes(summary: Json, manifest: Json, limits: Json) -> Rules:
    traces, requests = summary["traces"], summary["requests"]
    completed, started = traces["completed"], sum(traces.values())
    incomplete = ratio(started - completed, started)
    cut_off = max(incomplete or 0.0, summary["censoring"]["incomplete_requests_share"] or 0.0)
    yield "something_completed", "error", completed == 0
    yield "enough_completed", "error", 0 < completed < max(10, summary["concurrency"]["configured"])
    failed = ratio(requests["failed"], requests["failed"] + requests["ok"])
    yield "few_failures", "error", above(failed, limits["failure_rate"])
    failed = ratio(traces["failed"], traces["failed"] + completed)
    yield "few_failed_traces", "error", above(failed, limits["failure_rate"])
    level = "error" if above(incomplete, limits["censored_share"]) else "warning"
    yield "little_censoring", level, above(incomplete, min(0.1, limits["censored_share"]))
    yield "times_of_all", "warning", cut_off > 0.25
    yield "no_rate_limits", "warning", summary["rate_limited"] > 0
    yield "no_retries", "warning", summary["retries"] > 0


def lengths(summary: Json, manifest: Json, limits: Json) -> Rules:
    drift = summary["drift"]
    yield "completion_lengths_known", "error", above(drift["completion_unknown_ratio"], limits["completion_drift"])
    if drift["unexplained_ratio"] is None:
        yield "usage_reported", "warning", True
        return
    yield "usage_complete", "warning", drift["requests_with_usage"] < summary["requests"]["ok"]
    yield "prompt_lengths", "error", abs(drift["unexplained_ratio"]) > limits["prompt_drift"]
    yield "completion_lengths", "error", above(drift["completion_short_ratio"], limits["completion_drift"])
    long = above(drift["completion_long_ratio"], limits["completion_drift"])
    yield "completions_no_longer_than_asked", "error", long
    asked, missing = drift["completion_asked_tokens"], drift["completion_missing_tokens"]
    yield "completion_throughput_as_asked", "warning", asked and missing > 0.001 * asked


def client(summary: Json, manifest: Json, limits: Json) -> Rules:
    own = summary["client"]
    shares = [
        math.inf if item["share"] is None else item["share"]
        for section in own["excess"].values()
        for metric in section.values()
        for item in metric.values()
        if item["seconds"] > 0.002
    ]
    yield "client_on_time", "error", max(shares, default=0.0) > limits["client_error"]
    yield "client_loop_on_time", "warning", above(own["loop_lag_p99_s"], limits["loop_lag_s"])
    yield "client_not_saturated", "error", above(own["cpu_share"], limits["client_cpu"])
    yield "client_ran_throughout", "error", above(own["loop_lag_max_s"], limits["stall_s"])
    yield "tokens_seen_as_they_came", "warning", above(summary["one_read_share"], 0.05)
    yield "few_suspect_requests", "warning", above(own["suspect_share"], 0.05)


def streams(summary: Json, manifest: Json, limits: Json) -> Rules:
    decode = summary["decode"]
    if decode is None:
        return
    unseen = sum(count for why, count in decode["not_measured"].items() if why != "one_read")
    worst = ratio(max(unseen, decode["hidden_requests"]), decode["requests"])
    yield "decode_speed_seen", "warning", above(worst, 0.05)
    yield "text_is_tokens", "error", above(ratio(decode["surplus_requests"], summary["requests"]["ok"]), 0.05)


def silence(summary: Json, manifest: Json, limits: Json) -> Rules:
    quiet, rates = summary["silence"], summary["workload"]["completion_tok_s"]
    slots_s = summary["concurrency"]["configured"] * summary["wall_time_s"]
    yield "answered_to_the_end", "error", quiet["dead"]
    yield "none_stuck", "error" if quiet["stuck_s"] > 0.05 * slots_s else "warning", quiet["stuck_requests"] > 0
    if rates["overall"] and rates["steady_state"] is not None:
        unlike = abs(rates["steady_state"] / rates["overall"] - 1) > 0.25
        yield "steady_like_whole", "warning", unlike


def steadiness(summary: Json, manifest: Json, limits: Json) -> Rules:
    steady = summary["steadiness"]
    drifts = {name: trend["change"] for name, trend in steady["drift"].items() if trend["drifts"]}
    rates = [drifts[name] for name in ("completion_tok_s", "tpot_s") if name in drifts]
    yield "steady_rate", "error" if any(abs(change) >= 0.2 for change in rates) else "warning", rates
    hits = drifts.get("eligible_hit_rate_pct", 0.0)
    growing = "eligible_hit_rate_pct" in steady["drift"] and drifts.get("context_tokens", 0.0) > 0
    yield "steady_cache", "error" if abs(hits) >= 0.2 else "warning", hits or growing or steady["cold_cache"]
    steps = [shift["change"] for shift in steady["shifts"]]
    yield "level_shift", "error" if any(abs(change) >= 0.2 for change in steps) else "warning", steps


def circumstances(summary: Json, manifest: Json, limits: Json) -> Rules:
    end, config, workload, server = manifest["end"], manifest["config"], manifest["workload"], manifest["server"]
    yield "ended_in_order", "warning", end is None
    reason = end["reason"] if end else "deadline"
    by_limit = reason in ("max_failures", "max_failure_rate", "endpoint_died")
    yield "ran_its_duration", "error" if by_limit else "warning", reason not in ("deadline", "max_traces")
    virtual, sim = config.get("clock") == "virtual", config.get("sim") or {}
    yield "server_measured", "warning", virtual
    in_flight, fitted = summary["concurrency"]["in_flight_requests"], sim.get("measured_batch")
    yield "within_fit", "warning", virtual and None not in (fitted, in_flight) and in_flight > 1.1 * fitted
    yield "long_enough", "warning", summary["wall_time_s"] < 60
    yield "whole_workload", "warning", workload.get("skipped_too_long")
    yield "recorded_workload", "warning", workload["synthetic"]
    yield "engine_to_itself", "warning", server.get("in_flight_before")
    yield "one_engine", "warning", len(set(server.get("engines") or ())) > 1
    yield "streaming", "warning", not config["stream"]


def cache(summary: Json, manifest: Json, limits: Json) -> Rules:
    figures, workers = summary["cache"], summary["workers"]
    prompts = summary["drift"]["prompt_ratio"] is not None
    yield "cache_reported", "warning", prompts and figures["requests_with_cached_tokens"] == 0
    if figures["requests_with_cached_tokens"]:
        left_out = ratio(figures["traces_left_out"], summary["traces"]["completed"])
        level = "error" if above(left_out, limits["censored_share"]) else "warning"
        yield "cache_figures_complete", level, figures["traces_left_out"] > 0
    yield "sessions_stay", "warning", workers and workers["moved_turns"] > 0
    yield "possible_cache_figures", "error", figures["impossible_requests"] > 0
    yield "answers_in_the_history", "warning", manifest["config"]["history"] == "recorded"
    eligible = summary["per_trace"]["eligible_cache_hit_rate_pct"]
    yield "eligible_rates_possible", "warning", eligible and eligible["max"] > 100 + 1e-9
    yield "cold_start", "warning", above(figures["turn0_hit_share"], 0.0)
    yield "prefix_cache_kept", "warning", above(figures["lost_pct"], 5.0)


def engine(summary: Json, manifest: Json, limits: Json) -> Rules:
    growth, account = (manifest["end"] or {}).get("engine"), summary["engine"]
    yield "engine_ran_throughout", "error", growth and growth["restarted"]
    if account is None:
        return
    counted, ttft_s, outside_s = account["counted"], account["rows"]["ttft_s"], account["difference"]["ttft_s"]
    yield "engine_counted_all", "error", account["disbelieved"] is not None
    share = account["others_share"]
    if not any(worker.get("died") for worker in manifest["end"].get("workers") or ()):
        yield "engine_served_this_run_alone", "error" if above(share, 0.05) else "warning", above(share, 0.01)
    outside_pct = percent_of(outside_s, ttft_s)
    yield "ttft_is_the_engines", "warning", above(outside_s, 0.010) and above(outside_pct, 25.0)
    yield "engine_not_preempting", "warning", above(counted["preemptions"], 0)
    queue_pct = percent_of(counted["queue_s"], counted["ttft_s"])
    yield "short_queue", "warning", above(counted["queue_s"], 0.010) and above(queue_pct, 50.0)
