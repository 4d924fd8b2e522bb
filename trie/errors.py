"""One small tree of errors: what a user can mend is a TrieError, everything else is a bug."""

from __future__ import annotations


class TrieError(Exception):
    """What a user can mend; its text is one line: where, what was found, what is allowed."""


class ConfigError(TrieError):
    """A setting whose value is not allowed."""


class WorkloadError(TrieError):
    """A workload that can't be found, fetched or read."""


class PromptError(TrieError):
    """Prompts of the exact length can't be made for this model."""


class EndpointError(TrieError):
    """The endpoint can't be used at all: nothing answers, or the model is not served there."""


class RunDirError(TrieError):
    """A run directory that can't be written or does not hold what is asked of it."""


class ReportError(TrieError):
    """A report or a plot that can't be made or written."""
