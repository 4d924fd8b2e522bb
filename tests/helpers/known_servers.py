"""Run directories of a server whose times are known, replayed in a closed loop that is worked out here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.rows import planned_row
from helpers.run_directories import written_run
from trie.storage.record import Outcome, RequestRecord

PREFILL_TOK_S = 10_000.0


@dataclass(frozen=True)
class Server:
    """Times of a request: overhead + prompt / prefill, then a token every `step_s`; scattered by `noise`."""

    step_s: float = 0.010
    overhead_s: float = 0.020
    noise: float = 0.05  # standard deviation of the logarithm of a request's times
    seed: int = 0
    hits: float = 0.5  # share of each prompt that is reported as cached
    fail: int = 0  # every nth session fails; 0: none


def sessions(server: Server, *, wall_s: float, slots: int = 4, traces: int = 60, turns: int = 1) -> list[RequestRecord]:
    """The rows of a run: slots take trace after trace; what is in flight at the end is cancelled."""
    lengths = np.random.default_rng(99)  # the workload's own, the same for every server
    prompts, answers = lengths.integers(200, 2000, traces), lengths.lognormal(4, 0.6, traces).astype(int) + 2
    luck = np.random.default_rng(server.seed)
    free = [0.0] * slots
    rows: list[RequestRecord] = []
    session = 0
    while min(free) < wall_s:
        slot = free.index(min(free))
        now, trace = free[slot], session % traces
        for turn in range(turns + 1):
            given = _request(
                server, luck, now, prompt=int(prompts[trace]), answer=int(answers[trace]), wall_s=wall_s, warm=turn > 0
            )
            failed = server.fail and session % server.fail == 0
            outcome = Outcome.failed if failed else given.pop("outcome", Outcome.ok)
            given.pop("outcome", None)
            rows.append(
                planned_row(session, turn, turns, outcome=outcome, **{**given, "slot": slot, "trace_id": trace})
            )
            now = given["end_s"]
            if outcome is not Outcome.ok:
                break
        free[slot] = now
        session += 1
    return rows


def _request(
    server: Server, luck: np.random.Generator, sent: float, *, prompt: int, answer: int, wall_s: float, warm: bool
) -> dict[str, Any]:
    scatter = float(np.exp(luck.normal(0, server.noise)))
    first = sent + (server.overhead_s + prompt / PREFILL_TOK_S) * scatter
    end = first + (answer - 1) * server.step_s * scatter
    common = {
        "queued_s": sent,
        "sent_s": sent,
        "attempt_sent_s": sent,
        "attempts": 1,
        "new_prompt_tokens": prompt,
        "requested_completion_tokens": answer,
    }
    if end > wall_s:
        return {**common, "end_s": wall_s, "outcome": Outcome.cancelled, "error_kind": "deadline"}
    usage = {
        "usage_prompt_tokens": prompt,
        "usage_completion_tokens": answer,
        "usage_cached_tokens": int(prompt * server.hits) if warm else 0,
    }
    return {**common, **usage, "first_token_s": first, "last_token_s": end, "end_s": end, "chunks": answer}


def written(
    path: Path,
    server: Server | None = None,
    *,
    wall_s: float = 100.0,
    sha256: str = "aa" * 32,
    rows: list[RequestRecord] | None = None,
    **settings: Any,
) -> Path:
    """A run directory, complete."""
    about = {
        "workload": {"sha256": sha256},
        "prompts": {"fingerprint": "f0", "source": "words"},
        "end": {"wall_time_s": wall_s},
    }
    written_run(path, sessions(server or Server(), wall_s=wall_s) if rows is None else rows, **{**about, **settings})
    return path
