"""Shared prefixes that sessions of other workers send: which of them count as sent before a session of this one.

Which request sends a shared prefix first is known to one process alone. Where several replay a run, the session with
the lower number is taken to be the earlier one, as it nearly always is: so each prefix is new once in the whole run.
"""

from __future__ import annotations

from collections.abc import Callable

from trie.replay.session_order import PlannedSession, SessionOrder
from trie.replay.share import Share
from trie.workload.accounting import SentPrefixes
from trie.workload.session_tree import TreeSession, session_tree


class OtherPrefixes:
    """Notes the first prompts of other workers' sessions.

    Args:
        order: of all sessions of the run.
        share: of this worker.
        server: the number of the server of a session.
    """

    def __init__(self, order: SessionOrder, share: Share, server: Callable[[int], int]) -> None:
        self._order = order
        self._share = share
        self._server = server
        self._next: PlannedSession | None = order.next()

    def note(self, session_id: int, sent: SentPrefixes) -> None:
        """A session of this worker begins: those before it have sent their first prompts."""
        while self._next is not None and self._next.session_id < session_id:
            if not self._share.has(self._next.session_id):
                self._send(session_tree(self._next.trace, self._next.session_id), sent)
            self._next = self._order.next()

    def _send(self, session: TreeSession, sent: SentPrefixes) -> None:
        sent.send(session.trace, next(session.trace.requests()), self._server(session.session_id))
        for _, subagent in session.subagents:
            self._send(subagent, sent)
