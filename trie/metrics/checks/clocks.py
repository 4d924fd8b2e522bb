"""Check of the clocks of several machines: can rows of one be put beside those of another?

Rows of a worker are moved to the coordinator's clock by an offset that is known within an error. A time of one request
is a difference on one machine and does not depend on it. What does:

- A rate over a window counts what ended in it. Rows that are off by the error move tokens over either edge of the
  window: a rate is wrong by twice the error / the window at most, and so is a mean number of requests in flight.
- Which of two requests came first, of workers that are both off: within twice the error that can't be told. Requests
  that share a prefix, silence of the whole server, and plots finer than that rest on it.

A clock that was set anew while the run went on is another matter: times of requests that were open then are wrong too.
One that is slewed, as NTP does it, counts as set anew by very little, again and again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from trie.metrics.checks.check import Check, Condition, Evidence
from trie.metrics.throughput import WARM_UP
from trie.storage.manifest import HostClock

CLOSE_S = 0.050  # some requests of a busy run are sent, and first tokens come, within such a time
WINDOW_SHARE = 0.01  # of steady state: rates are wrong by twice as much at most

CLOCKS_AGREE = Condition(
    "clocks_agree", "warning", "the clocks of all machines agree", "the clocks of the machines do not agree"
)
CONDITIONS = (CLOCKS_AGREE,)


def clock_checks(run: Evidence) -> Iterator[Check]:
    """Of a run whose workers were on other machines."""
    workers = () if run.manifest.end is None else run.manifest.end.workers
    clocks = {worker.worker_id: worker.clock for worker in workers if worker.clock is not None}
    window_s = (1.0 - WARM_UP) * run.summary.wall_time_s
    if any(error_s(clock) is not None for clock in clocks.values()):
        yield clocks_agree(clocks, window_s)


def clocks_agree(clocks: Mapping[int, HostClock], window_s: float) -> Check:
    """Judge the clock that is known least, and the one that was set anew by most.

    Args:
        clocks: by worker; the error of one at least is known.
        window_s: of steady state.
    """
    error, worker = max((error_s(clock) or 0.0, worker) for worker, clock in clocks.items())
    step, stepped = max((_step_s(clock), worker) for worker, clock in clocks.items())
    wrong = error > WINDOW_SHARE * window_s or step > CLOSE_S
    return CLOCKS_AGREE.check(
        not wrong and not step and error <= CLOSE_S,
        f"worker {worker}'s clock is known within {error * 1e3:.1f} ms{_share(error, window_s)}"
        + (f"; worker {stepped}'s was set anew in the run{_by(step)}" if step else ""),
        "rates, requests in flight and the order of rows of different workers rest on it, and times of requests where "
        "a clock was set anew: see the network between the machines, and leave their clocks alone in a run",
        level="error" if wrong else "warning",
    )


def error_s(clock: HostClock) -> float | None:
    """By how much a row's instants may be wrong; None for a manifest that does not say so."""
    errors = [error for error in (clock.error_begin_s, clock.error_end_s) if error is not None]
    return max(errors, default=None)


def _step_s(clock: HostClock) -> float:
    """The largest step, 0 for none; infinite where its size is not known."""
    if not clock.steps:
        return 0.0
    return math.inf if clock.largest_step_s is None else clock.largest_step_s


def _share(error: float, window_s: float) -> str:
    return f", {error / window_s:.2%} of steady state" if window_s else ""


def _by(step: float) -> str:
    return "" if math.isinf(step) else f", by {step * 1e3:,.1f} ms or more"
