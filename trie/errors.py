"""One small tree of errors: what a user can fix is a TrieError, everything else is a bug."""

from __future__ import annotations

from collections.abc import Iterable


class TrieError(Exception):
    """What a user can fix; its text is one line: where, what was found, what is allowed."""


class ConfigError(TrieError):
    """A setting whose value is not allowed."""


class WorkloadError(TrieError):
    """A workload that can't be found, fetched or read."""


class PromptError(TrieError):
    """Prompts of the exact length can't be made for this model."""


class EndpointError(TrieError):
    """The endpoint can't be used at all: nothing answers, or the model is not served there."""


class WorkerError(TrieError):
    """A worker that does not start."""


class RunDirError(TrieError):
    """A run directory that can't be written or does not hold what is asked of it."""


class ReportError(TrieError):
    """A report or a plot that can't be made or written."""


def near_miss(word: str, names: Iterable[str]) -> str:
    """`; did you mean X?` when one of the names is close to the word, else nothing."""
    import difflib  # only for a mistake

    matches = difflib.get_close_matches(word, list(names), n=1, cutoff=0.75)
    return f"; did you mean {matches[0]}?" if matches else ""
