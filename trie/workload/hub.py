"""Files of the hub: from the cache folder when they are there, else fetched once, whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import cast

from trie.errors import WorkloadError

log = logging.getLogger(__name__)

CACHE_VARIABLE = "TRIE_DATASET_CACHE"
METADATA_TIMEOUT_S = 10.0
HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")


def cache_folder() -> Path:
    """TRIE_DATASET_CACHE, or `trie-dataset` in the system's temporary folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else Path(tempfile.gettempdir()) / "trie-dataset"


def fetch(repo: str, filename: str, sha256: str | None = None) -> Path:
    """The local path of a dataset's file, downloaded into the cache folder on first use.

    A file that lies there under its own name is used as it is, however it got there. A download has the size and the
    hash that the hub states, and `sha256` where that is known, or it is not kept.

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
            _download(repo, filename, sha256, Path(aside)).replace(target)
    except OSError as error:
        raise WorkloadError(_advice(repo, filename, target, error)) from error
    return target


def _download(repo: str, filename: str, sha256: str | None, folder: Path) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # one plain file over plain HTTP, mirrors included
    from huggingface_hub import HfApi, hf_hub_url  # a fifth of a second, only for hub files
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None  # the library itself reads it once, at import
    api = HfApi(endpoint=endpoint)
    # httpx or requests, as the installed huggingface_hub has it: the class that its own errors derive from
    errors = cast("tuple[type[Exception], ...]", (*HfHubHTTPError.__bases__, ValueError))
    try:
        url = hf_hub_url(repo, filename, repo_type="dataset", endpoint=endpoint)
        # Asked once, without retries: the download itself tries an unreachable hub for a minute before it says so.
        stated = api.get_hf_file_metadata(url=url, timeout=METADATA_TIMEOUT_S)
        log.info("fetching %s", url)
        path = api.hf_hub_download(
            repo, filename, repo_type="dataset", local_dir=folder, etag_timeout=METADATA_TIMEOUT_S
        )
    except errors as error:
        raise OSError(_reason(error)) from error
    content = Path(path).read_bytes()
    _verify(content, stated.size, stated.etag)
    _verify(content, None, sha256)
    return Path(path)


def _verify(content: bytes, size: int | None, etag: str | None) -> None:
    """Hold what came against what is known of it: its size, and its SHA-256 (large files) or git's own SHA-1.

    Raises:
        OSError: when they differ; a tag of another form proves nothing and is passed over.
    """
    if size is not None and len(content) != size:
        raise OSError(f"{len(content)} bytes came, must be {size}")
    tag = (etag or "").strip('"').lower()
    if not HASH.fullmatch(tag):
        return
    if len(tag) == 64:
        found = hashlib.sha256(content).hexdigest()
    else:  # of a git blob: no protection is sought in it, only an accident found
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if found != tag:
        raise OSError(f"what came has the hash {found[:12]}..., must be {tag[:12]}...")


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
