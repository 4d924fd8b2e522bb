"""The repository around an experiment: its commit, and whether files in it are changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from trie.storage.manifest import Repository

PATIENCE_S = 2.0  # for each of the two questions; a repository too large for that is not waited for
KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "SYSTEMROOT")  # no key, and no GIT_DIR that points elsewhere
OUTPUTS = ("outputs", "multirun")  # where runs land: they make no repository dirty


def state(folder: Path, run: Path) -> Repository | None:
    """The repository around a folder; None without a repository or without git.

    Dirty means that a tracked file is changed or that a file is neither tracked nor ignored, beside those of the run
    itself. Either is None where it is not known: a repository without a commit, or git did not answer in time.
    Nothing else is asked for, so no remote's address, which may hold credentials, is ever read. Blocks for two times
    PATIENCE_S at most.
    """
    folder, run = folder.absolute(), run.absolute()
    root = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)
    head = None if root is None else _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if root is None or head is None or head.returncode not in (0, 1):
        return None
    beside = [*OUTPUTS, run.relative_to(root).as_posix()] if run.is_relative_to(root) else [*OUTPUTS]
    excluded = [f":(exclude,top,literal){path}" for path in beside]
    changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ":(top)", *excluded)
    answered = changes is not None and changes.returncode == 0
    return Repository(
        commit=head.stdout.strip() or None,
        dirty=bool(changes.stdout.strip()) if changes is not None and answered else None,
    )


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """One question to git, which takes no lock and starts no program that the repository's own settings name."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        return subprocess.run(  # noqa: S603 - a fixed command, no shell
            command,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environment[name] for name in KEPT if name in environment}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
