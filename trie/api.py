"""The Python API: one endpoint, any number of runs against it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from trie.config import ConcurrencyConfig, EndpointConfig, ProgressStyle, RunConfig, WorkloadConfig
from trie.config.shipped_groups import endpoint_named_or_at, workload_named_or_at
from trie.errors import ConfigError
from trie.run import Result, execute_async
from trie.workload.load import from_traces
from trie.workload.trace import Trace

Rows = Iterable[Trace | Mapping[str, Any]]


class Client:
    """Replays workloads against one endpoint.

    Args:
        endpoint: base URL up to and including /v1, the name of an endpoint (vllm, sglang, ...), or all its settings
            (`trie.config.EndpointConfig`); None for the embedded endpoint.
        model: name sent to the server; None takes the only one it lists.
        tokenizer_model: hub id or folder whose tokenizer makes the prompts; None: the model's own, or the word list.
        api_key: sent to the endpoint alone and never written; None reads OPENAI_API_KEY.
        seed: of the prompts; None draws a fresh one for each run.
        max_retries: further attempts after a retryable failure.
        timeout: seconds for one request, all attempts included.
        max_failures: failed requests at which a run is ended early; None: any number.
        max_failure_rate: share of the ended requests that failed at which a run is ended early; None: any share.

    Raises:
        ConfigError: for a value that is not allowed.
    """

    def __init__(
        self,
        endpoint: str | EndpointConfig | None = None,
        model: str | None = None,
        *,
        tokenizer_model: str | None = None,
        api_key: str | None = None,
        seed: int | None = None,
        max_retries: int = 2,
        timeout: float = 600.0,
        max_failures: int | None = None,
        max_failure_rate: float | None = 1.0,
    ) -> None:
        self._endpoint = _endpoint(endpoint)
        self._api_key = api_key or os.environ.get(self._endpoint.api_key_env) or None
        self._settings: dict[str, Any] = {
            "model": model,
            "tokenizer_model": tokenizer_model,
            "seed": seed,
            "max_retries": max_retries,
            "timeout": timeout,
            "max_failures": max_failures,
            "max_failure_rate": max_failure_rate,
        }

    def __repr__(self) -> str:
        return f"Client(endpoint={self._endpoint.base_url!r}, model={self._settings['model']!r})"

    async def run(
        self,
        workload: str | Rows,
        *,
        concurrency: int,
        duration: float = 300.0,
        stream: bool = True,
        num_gpus: int | None = None,
        directory: Path | str | None = None,
        progress: str = "auto",
        live: float | None = None,
        workers: int | str = 1,
        show: bool = True,
    ) -> Result:
        """Replay and report, inside a running event loop.

        Args:
            workload: a name (agentic, qa, office, sample, ...), the path of a JSONL file, or traces.
            concurrency: traces active at any time.
            duration: seconds in which traces may start; then what is in flight is cancelled.
            stream: needed for TTFT, TTFAT and decode speed.
            num_gpus: for throughput per GPU.
            directory: of the run's files; None: a new one below outputs/.
            progress: auto, rich, plain or none.
            live: seconds between two versions of report.html; None: 30 in a run over 5 minutes; 0: none.
            workers: processes that replay the run together, or "auto".
            show: print the tables at the end.

        Returns:
            The summary, the rows as a DataFrame (`.rows`), and where the files are.

        Raises:
            TrieError: for what can be fixed: settings, workload, endpoint.
        """
        traces = None if isinstance(workload, str) else from_traces(workload)
        source = (
            workload_named_or_at(workload) if isinstance(workload, str) else WorkloadConfig("custom", path="(traces)")
        )
        config = RunConfig(
            workload=source,
            endpoint=self._endpoint,
            concurrency=ConcurrencyConfig(concurrency),
            duration=duration,
            stream=stream,
            num_gpus=num_gpus,
            progress=_style(progress),
            live=live,
            workers=str(workers),
            **self._settings,
        )
        where = Path(directory) if directory else _new_directory(source.name, concurrency)
        result = await execute_async(config, where, api_key=self._api_key, workload=traces)
        if show:
            result.show()
        return result

    def sync_run(self, workload: str | Rows, *, concurrency: int, **settings: Any) -> Result:
        """`run` for code without an event loop; takes the same arguments.

        Raises:
            RuntimeError: inside a running event loop; use `await run(...)` there.
            TrieError: as `run`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run(workload, concurrency=concurrency, **settings))
        raise RuntimeError("sync_run inside a running event loop: use `await client.run(...)`")


def _endpoint(endpoint: str | EndpointConfig | None) -> EndpointConfig:
    if isinstance(endpoint, EndpointConfig):
        return endpoint
    return EndpointConfig() if endpoint is None else endpoint_named_or_at(endpoint)


def _style(progress: str) -> ProgressStyle:
    styles = [style.name for style in ProgressStyle]
    if progress not in styles:
        raise ConfigError(f"progress={progress}: must be one of {', '.join(styles)}")
    return ProgressStyle[progress]


def _new_directory(name: str, concurrency: int) -> Path:
    now = datetime.now().astimezone()
    return Path("outputs") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}-{name}-c{concurrency}"
