"""`trie workload show`: what a workload is, and what it will ask of a server's cache."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from trie.cli.console import console
from trie.config import SimConfig, shipped_groups
from trie.errors import ConfigError
from trie.report import workload as report
from trie.workload import cache_demand
from trie.workload.closed_loop import Pace
from trie.workload.describe import describe
from trie.workload.load import load

PREFIX = ("shared_prefix_tokens", "shared_prefix_groups", "shared_prefix_zipf")


def show(options: argparse.Namespace) -> None:
    """Print a workload's numbers, and write its page where one is asked for.

    Raises:
        TrieError: for a workload that can't be read, or a flag whose value is not allowed.
    """
    for flag in ("concurrency", "cache_tokens", "prompt_speed", "answer_speed", "deadline"):
        value = getattr(options, flag)
        if value is not None and not value > 0:
            raise ConfigError(f"--{flag.replace('_', '-')} {value:g}: must be above 0")
    pace = _pace(options)
    config = shipped_groups.workload_named_or_at(options.workload)
    prefix = {name: value for name in PREFIX if (value := getattr(options, name)) is not None}
    workload = load(replace(config, **prefix))
    until_s = options.deadline or cache_demand.HORIZON_S
    demand = cache_demand.demand(workload.traces, options.concurrency, pace, until_s)
    hit_rate = knee = None
    if (cache := options.cache_tokens) is not None:
        some = cache_demand.of_a_run(workload.traces, options.concurrency)
        hit_rate = cache_demand.replay_once(some, options.concurrency, pace, cache, until_s).hit_rate
        if demand.whole.hit_rate:
            knee = cache_demand.knee_concurrency(workload.traces, cache, pace, until_s)
    shown = report.Shown(describe(workload), demand, cache, hit_rate, knee, options.deadline)
    if options.html is not None:
        report.page(shown).write(options.html)
    if options.json:
        print(json.dumps(report.to_json(shown), indent=1, allow_nan=False))
        return
    report.render(shown, console())


def _pace(options: argparse.Namespace) -> Pace:
    """As the flags say."""
    if options.profile is None:
        pace = Pace()
        prompt = pace.prompt_tok_s if options.prompt_speed is None else options.prompt_speed
        answer_s = pace.answer_step_s if options.answer_speed is None else 1.0 / options.answer_speed
        return Pace(prompt, answer_s)
    if (options.prompt_speed, options.answer_speed) != (None, None):
        raise ConfigError("--profile: goes without --prompt-speed and --answer-speed")
    profiles = [name for name in shipped_groups.names("profile") if name != "null"]
    if options.profile not in profiles:
        raise ConfigError(f"--profile {options.profile}: must be one of {', '.join(profiles)}")
    sim = SimConfig(**shipped_groups.load("profile", options.profile))
    return Pace(
        sim.prefill_tok_s, sim.decode_base_s, sim.decode_per_request_s, sim.request_overhead_s, sim.block_tokens
    )
