"""Limits that a run would hit: this process's open files, and the model's context."""

from __future__ import annotations

import sys
from dataclasses import replace

from trie.config import RunConfig
from trie.errors import ConfigError, WorkloadError
from trie.preflight.prompt_lengths import Template
from trie.workload.accounting import family, most_in_flight
from trie.workload.trace import Trace, Workload

OTHER_FILES = 128  # open beside the connections: libraries, logs, parts, the embedded endpoint's pipes
WORKER_FILES = 4  # of each worker, in the process that coordinates them: two pipes, what it prints, its end
ROWS_SHOWN = 5  # that an error names


def connections_of(config: RunConfig, workload: Workload) -> int:
    """Requests that may be in flight at once: one for each trace, or as many as its sub-agents make."""
    at_once = max(map(most_in_flight, workload.traces)) * config.slots
    return at_once if config.client.max_in_flight is None else min(at_once, config.client.max_in_flight)


def allow_open_files(concurrency: int, connections: int, *, workers: int = 1) -> None:
    """Raise this process's own limit of open files, which its workers inherit, where so many connections need that.

    Raises:
        ConfigError: when the system's limit is below it.
    """
    if sys.platform == "win32":
        return
    import resource  # POSIX alone has it

    connections_each, coordinating = -(-connections // workers), WORKER_FILES * workers if workers > 1 else 0
    needed = max(connections_each, coordinating) + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        needs = f"concurrency={concurrency}: " + ("needs" if workers == 1 else f"each of {workers} workers needs")
        needs = f"workers={workers}: needs" if coordinating > connections_each else needs
        raise ConfigError(
            f"{needs} {needed} open files, {hard} are allowed here: raise the limit "
            f"(ulimit -n {needed} as root, LimitNOFILE= in systemd, --ulimit nofile= in Docker), or ask for less"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def needed_tokens(trace: Trace, template: Template | None, *, reasoning_back: bool = False) -> int:
    """What a context must hold for a trace: its longest request with the answer, and a chat template."""
    turns = max(member.num_turns for member in family(trace))
    added = template.tokens(turns) if template is not None else 0
    return trace.longest_request_tokens(reasoning_back=reasoning_back) + added


def fitting(
    workload: Workload,
    max_model_len: int | None,
    *,
    skip: bool,
    template: Template | None = None,
    reasoning_back: bool = False,
) -> Workload:
    """The workload without the traces that the model's context can't hold; unchanged where its length is not known.

    Args:
        workload: whose traces keep their `row`.
        max_model_len: tokens of prompt and completion together, as the server states it.
        skip: leave such traces out, counted in `skipped`, instead of refusing the workload.
        template: of chat, where it is known.
        reasoning_back: the reasoning of an answer goes back with the answer.

    Raises:
        WorkloadError: for such traces without `skip`, or when none is left.
    """
    if max_model_len is None:
        return workload

    def needed(trace: Trace) -> int:
        return needed_tokens(trace, template, reasoning_back=reasoning_back)

    too_long = [trace for trace in workload.traces if needed(trace) > max_model_len]
    if not too_long:
        return workload
    rows = ", ".join(str(trace.row) for trace in too_long[:ROWS_SHOWN]) + (
        ", ..." if len(too_long) > ROWS_SHOWN else ""
    )
    most = max(map(needed, too_long))
    problem = (
        f"{workload.name}: {len(too_long)} of {len(workload.traces)} traces need more than the {max_model_len} tokens "
        f"of the model's context (up to {most}; rows from 0: {rows})"
    )
    if len(too_long) == len(workload.traces):
        raise WorkloadError(f"{problem}: serve the model with a longer context, or use a workload of shorter traces")
    if not skip:
        raise WorkloadError(
            f"{problem}: serve it with a longer one, or leave them out with workload.skip_too_long=true"
        )
    kept = [trace for trace in workload.traces if needed(trace) <= max_model_len]
    return replace(workload, traces=kept, skipped=len(too_long))
