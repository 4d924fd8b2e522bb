"""A plugin of vLLM: each step of its model takes as long as it would on a GPU of this speed, or longer.

On a machine whose cores do other work as well, a step takes 20 % more or less from one minute to the next, and no two
runs are of the same server. With these waits they are, as long as the step itself is done before. Scheduler, prefix
cache, tokenizer and HTTP server stay as they are. real_engine.py installs it.
"""

from __future__ import annotations

import time
from typing import Any

STEP_S = 0.0065
REQUEST_S = 0.0002  # that each request of the step adds
PROMPT_TOKEN_S = 0.00006  # that each token of a prompt adds
BUSY_S = 0.003  # between two steps, in which a GPU would not have waited


def planned_s(scheduled: Any) -> float:
    """How long a step takes."""
    requests, tokens = len(scheduled.num_scheduled_tokens), scheduled.total_num_scheduled_tokens
    return STEP_S + REQUEST_S * requests + PROMPT_TOKEN_S * (tokens - requests)


def register() -> None:
    """Called by vLLM in each of its processes."""
    from vllm.v1.worker.gpu_worker import Worker  # its CPU worker is one

    execute, sample = Worker.execute_model, Worker.sample_tokens
    ends = [0.0]  # of the step under way, as planned

    def execute_model(self: Worker, scheduler_output: Any) -> Any:
        if scheduler_output.total_num_scheduled_tokens:
            now = time.perf_counter()
            begin = ends[0] if now - ends[0] < BUSY_S else now
            ends[0] = begin + planned_s(scheduler_output)
        return execute(self, scheduler_output)

    def sample_tokens(self: Worker, grammar_output: Any) -> Any:
        output = sample(self, grammar_output)
        time.sleep(max(ends[0] - time.perf_counter(), 0.0))
        return output

    Worker.execute_model, Worker.sample_tokens = execute_model, sample_tokens
