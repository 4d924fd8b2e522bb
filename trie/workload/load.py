"""The one way from a workload's settings to its traces."""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import resources
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any

from trie.config import WorkloadConfig
from trie.errors import WorkloadError
from trie.workload import hub, jsonl, synthetic
from trie.workload.accounting import every_request
from trie.workload.row import parse_trace
from trie.workload.trace import Trace, Workload

IMPORT_REPORT = ".import.json"  # beside the rows: what the import kept, dropped and assumed
GROUP = "workload.shared_prefix_tokens, group"  # names no prefix of a file
SYNTHETIC_ROW = b'"source":"synthetic'  # as `trie workload synthesize` writes it

log = logging.getLogger(__name__)


def load(config: WorkloadConfig) -> Workload:
    """Read, fetch or draw the traces that the settings name, and keep those of the contexts asked for.

    Raises:
        WorkloadError: when they can't be had, are not those of the sha256 given, or a row is not allowed.
    """
    workload = _whole(config)
    if config.sha256 is not None and workload.sha256 != config.sha256:
        raise WorkloadError(
            f"workload.sha256={config.sha256}: {workload.source} has {workload.sha256}, so its traces are others; "
            "workload.sha256=null takes them all the same"
        )
    if config.shared_prefix_tokens:
        workload = replace(workload, traces=_with_shared_prefixes(workload.traces, config))
    workload = _within(workload, config.min_context_tokens, config.max_context_tokens)
    scale, cap_s = config.tool_latency_scale, config.tool_latency_cap_s
    if scale != 1.0 or cap_s is not None:
        workload = replace(workload, traces=[_with_tools(trace, scale, cap_s) for trace in workload.traces])
    if config.order == "shuffled":
        draw = random.Random(f"order:{config.seed}")
        workload = replace(workload, traces=draw.sample(workload.traces, len(workload.traces)))
    return workload


def _with_tools(trace: Trace, scale: float, cap_s: float | None) -> Trace:
    """The trace with other tool latencies, those of its sub-agents too."""
    latencies = (latency * scale for latency in trace.tool_call_latency)
    return replace(
        trace,
        tool_call_latency=tuple(latency if cap_s is None else min(latency, cap_s) for latency in latencies),
        subagents=tuple(child._replace(trace=_with_tools(child.trace, scale, cap_s)) for child in trace.subagents),
    )


def _with_shared_prefixes(traces: Iterable[Trace], config: WorkloadConfig) -> list[Trace]:
    """The traces in groups that share the first tokens of their prompts; at least one token stays a trace's own."""
    draw = random.Random(f"shared prefixes:{config.seed}")
    groups = range(1, config.shared_prefix_groups + 1)
    frequencies = list(accumulate(group**-config.shared_prefix_zipf for group in groups))
    return [
        trace
        if trace.shared_prefix_id is not None
        else replace(
            trace,
            shared_prefix_id=f"{GROUP} {draw.choices(groups, cum_weights=frequencies)[0]}",
            shared_prefix_length=min(config.shared_prefix_tokens, trace.input_prompt_length - 1),
        )
        for trace in traces
    ]


def _within(workload: Workload, least: int | None, most: int | None) -> Workload:
    """The traces whose contexts are within the bounds, each with its own row number.

    Raises:
        WorkloadError: when none is.
    """
    if least is None and most is None:
        return workload
    kept = [
        trace
        for trace in workload.traces
        if (least is None or trace.context_tokens >= least) and (most is None or trace.context_tokens <= most)
    ]
    if not kept:
        longest = max(trace.context_tokens for trace in workload.traces)
        shortest = min(trace.context_tokens for trace in workload.traces)
        raise WorkloadError(
            f"workload.min_context_tokens={least}, workload.max_context_tokens={most}: no trace of "
            f"{workload.source} is within them; contexts go from {shortest} to {longest} tokens"
        )
    return replace(workload, traces=kept)


def _whole(config: WorkloadConfig) -> Workload:
    """All traces of the source."""
    if config.synthetic is not None:
        traces = synthetic.draw(config.synthetic, config.rows, config.seed)
        source = f"synthetic stand-in for {config.synthetic} (seed {config.seed})"
        return Workload(config.name, traces, source, _sha256(jsonl.dump(traces)), synthetic=True)
    if config.bundled is not None:
        content = _bundled(config.bundled)
        source = f"made-up sample, bundled as {config.bundled}"
        return Workload(config.name, jsonl.parse(content, where=config.bundled), source, _sha256(content))
    if config.hub_file is not None:
        path, source = (
            hub.fetch(config.hub_repo, config.hub_file, config.hub_sha256),
            f"{config.hub_file} of {config.hub_repo}",
        )
    else:
        path = Path(config.path or "").expanduser()
        source = str(path)
    content = _read(path)
    found = _sha256(content)
    if config.hub_file is not None and config.hub_sha256 not in (None, found):
        log.warning(
            "%s is not the recorded file (sha256 %s..., recorded %s...)", path, found[:12], config.hub_sha256[:12]
        )
    return Workload(
        config.name,
        _parse(content, path),
        source,
        found,
        synthetic=SYNTHETIC_ROW in content,
        imported=_import_report(path, found),
    )


def _import_report(path: Path, sha256: str) -> Mapping[str, Any] | None:
    """What `trie workload import` left beside a file; None where there is nothing, or the file was changed since."""
    try:
        report = json.loads(path.with_name(path.name + IMPORT_REPORT).read_bytes())
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("sha256") == sha256 else None


def _parse(content: bytes, path: Path) -> list[Trace]:
    """The traces of a file.

    Raises:
        WorkloadError: for a file of another format, with the command that imports it.
    """
    try:
        return jsonl.parse(content, where=str(path))
    except WorkloadError as error:
        raise WorkloadError(_import_instead(path) or str(error)) from error


def _import_instead(path: Path) -> str | None:
    """What a file of another format is, and the command that makes traces of it; None for any other mistake."""
    from trie.workload.importers import formats, own  # only for a mistake

    try:
        importer, reason = formats.detect(path)
    except WorkloadError:
        return None
    if importer is own.TRIE:
        return None
    return f"{path}: is {importer.title} ({reason}); trie workload import {path} -o mine.jsonl makes traces of it"


def from_traces(rows: Iterable[Trace | Mapping[str, Any]], *, name: str = "custom") -> Workload:
    """A workload out of traces, or of rows in the JSONL format's own form.

    Raises:
        WorkloadError: for no rows, or a row that is not allowed.
    """
    traces = [
        parse_trace(jsonl.row(row) if isinstance(row, Trace) else row, where=f"{name}[{index}]", index=index)
        for index, row in enumerate(rows)
    ]
    if not traces:
        raise WorkloadError(f"{name}: holds no trace")
    return Workload(name, traces, "a list of traces", _sha256(jsonl.dump(traces)))


def describe(workload: Workload) -> str:
    """A workload in one line: what it is, how long its traces are, what a perfect cache could serve."""
    traces = workload.traces
    contexts = sorted(trace.context_tokens for trace in traces)
    cached = prompt = 0
    for plan in every_request(traces):
        cached += plan.cached_prompt_tokens
        prompt += plan.prompt_tokens
    return (
        f"{workload.name}: {len(traces)} traces ({workload.source}), "
        f"{fmean(trace.num_turns for trace in traces):.1f} turns on average, "
        f"context p50 {contexts[len(contexts) // 2]} p99 {contexts[int(len(contexts) * 0.99)]} tokens, "
        f"ideal cache hit rate {cached / prompt:.1%}"
    )


def _bundled(name: str) -> bytes:
    """A file of the package itself, by its plain name."""
    file = resources.files("trie.workload").joinpath(name)
    if Path(name).name != name or not file.is_file():
        raise WorkloadError(f"workload.bundled={name}: no file of the package; sample.jsonl is one")
    return file.read_bytes()


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise WorkloadError(_import_instead(path) or f"{path}: is a folder, must be a JSONL file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise WorkloadError(f"{path}: no such file; workload= takes a name or the path of a JSONL file") from None
    except OSError as error:
        raise WorkloadError(f"{path}: can't be read: {error.strerror}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
