"""Files of the hub: from the cache folder when they are there, else fetched once, whole or not at all."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from trie.errors import WorkloadError

CACHE_VARIABLE = "TRIE_DATASET_CACHE"
METADATA_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0


def cache_folder() -> Path:
    """TRIE_DATASET_CACHE, or `trie-dataset` in the system's temporary folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else Path(tempfile.gettempdir()) / "trie-dataset"


def fetch(repo: str, filename: str) -> Path:
    """The local path of a dataset's file, downloaded into the cache folder on first use.

    A file that lies there under its own name is used as it is, however it got there.

    Raises:
        WorkloadError: when it is neither there nor to be had, saying what can be done.
    """
    if Path(filename).name != filename or filename in {"", ".", ".."}:
        raise WorkloadError(f"workload.hub_file={filename}: must be a plain file name")
    target = cache_folder() / filename
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as aside:
            _download(repo, filename, Path(aside)).replace(target)
    except OSError as error:
        raise WorkloadError(_advice(repo, filename, target, error)) from error
    return target


def _download(repo: str, filename: str, folder: Path) -> Path:
    """Fetch into `folder`; progress is the hub library's own bar on stderr.

    Raises:
        OSError: for whatever the hub or the way to it refuses.
    """
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # one plain file over plain HTTP, mirrors included
    from huggingface_hub import HfApi  # noqa: PLC0415 - a fifth of a second, only for hub files
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    _reach(api.endpoint)
    foreign: tuple[type[Exception], ...] = (HfHubHTTPError, LocalEntryNotFoundError, ValueError, *_transport_errors())
    try:
        path = api.hf_hub_download(
            repo, filename, repo_type="dataset", local_dir=folder, etag_timeout=METADATA_TIMEOUT_S
        )
    except foreign as error:
        raise OSError(_reason(error)) from error
    return Path(path)


def _reach(endpoint: str) -> None:
    """Fail at once when nothing listens at the hub's address: the library would try for minutes.

    Raises:
        OSError: when no connection can be made.
    """
    if getproxies():
        return  # the way leads elsewhere
    url = urlsplit(endpoint)
    port = url.port or (443 if url.scheme == "https" else 80)
    socket.create_connection((url.hostname or "", port), CONNECT_TIMEOUT_S).close()


def _transport_errors() -> tuple[type[Exception], ...]:
    """The errors of the HTTP library that the hub library came with; they are no OSErrors."""
    modules = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return tuple(module.HTTPError for module in modules if module is not None)


def _reason(error: BaseException) -> str:
    """The first line of the innermost error: the outer ones repeat general advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _advice(repo: str, filename: str, target: Path, error: OSError) -> str:
    return (
        f"{filename} of {repo} can't be fetched ({_reason(error)}): place the file at {target} "
        f"({CACHE_VARIABLE} sets the folder), set HF_ENDPOINT to a mirror, or use a stand-in "
        "(workload=agentic-synthetic, qa-synthetic, office-synthetic)"
    )
