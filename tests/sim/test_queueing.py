"""The model against the formulas of queueing theory, over as many requests as make chance small."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from trie.config import SimConfig
from trie.sim.virtual import Prompt, SessionJob, VirtualEndpoint

REQUESTS = 40_000


def served(config: SimConfig, arrivals_per_s: float, prompt: int, answer: int) -> list[SessionJob]:
    """Poisson arrivals of equal requests, each in a session of its own."""
    endpoint, draw = VirtualEndpoint(config), random.Random(1)
    jobs, at = [], 0.0
    for number in range(REQUESTS):
        at += draw.expovariate(arrivals_per_s)
        while endpoint.until_end(at):
            pass
        jobs.append(endpoint.ask(at, Prompt(number, prompt), answer, fault=None))
    while endpoint.until_end(at + 1e6):
        pass
    return jobs


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_poisson_arrivals_wait_for_the_prefill_unit_as_in_an_m_d_1_queue(load):
    """Service D = 1000/10,000 s: the mean wait is D * load / (2 * (1 - load)), and TTFT is D more."""
    config = SimConfig(prefill_tok_s=10_000.0, request_overhead_s=0.0, cache_blocks=0, max_running=10**6)
    service = 0.1
    jobs = served(config, load / service, 1000, 1)
    waits = fmean(job.first_at - job.arrived for job in jobs) - service
    assert waits == pytest.approx(service * load / (2 * (1 - load)), rel=0.04)


def test_with_one_slot_prefill_and_decode_together_are_the_service_of_an_m_d_1_queue():
    """D = 0.05 s of prefill and 5 steps of 0.01 s, at a load of 0.7."""
    config = SimConfig(
        prefill_tok_s=10_000.0, decode_base_s=0.01, request_overhead_s=0.0, cache_blocks=0, max_running=1
    )
    service, load = 0.1, 0.7
    jobs = served(config, load / service, 500, 6)
    latency = fmean(job.last_at - job.arrived for job in jobs)
    assert latency == pytest.approx(service + service * load / (2 * (1 - load)), rel=0.04)


def test_the_batch_is_as_large_as_little_s_law_has_it():
    """Steps of 0.01 s whatever the batch: 100 steps last 1 s, so at 20 a second 20 requests are in it on average."""
    config = SimConfig(
        prefill_tok_s=1e9,
        decode_base_s=0.01,
        decode_per_request_s=0.0,
        request_overhead_s=0.0,
        cache_blocks=0,
        max_running=10**6,
    )
    jobs = served(config, 20.0, 10, 101)
    in_system = sum(job.last_at - job.arrived for job in jobs) / (jobs[-1].arrived - jobs[0].arrived)
    assert in_system == pytest.approx(20.0, rel=0.03)
