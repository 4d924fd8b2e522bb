"""What one session has said and heard: a conversation that goes on, or begins again where the context was reset."""

from __future__ import annotations

from trie.endpoint.request_body import Conversation, RequestFormat
from trie.endpoint.response import Answer
from trie.prompts.builder import SessionPrompts
from trie.workload.trace import PlannedRequest


class Dialogue:
    """The conversation of a session; only one that will be cut keeps the answers that it has heard."""

    def __init__(self, request_format: RequestFormat, prompts: SessionPrompts) -> None:
        self.conversation: Conversation = request_format.conversation()
        self._format = request_format
        self._prompts = prompts
        self._keeps = any(plan.cut is not None for plan in prompts.plans)
        self._heard: list[tuple[PlannedRequest, Answer | None]] = []  # what of it is still a part of the conversation
        if prompts.begins is not None:
            for plan in prompts.plans[: prompts.begins.turn]:  # said and heard before the session begins
                self.ask(plan)
                self.answered(plan, None)

    def ask(self, plan: PlannedRequest) -> None:
        """Append what a request asks."""
        if plan.cut is not None:
            self._begin_again(plan.cut.exchanges)
        self.conversation.ask(self._prompts.parts[plan.turn])

    def answered(self, plan: PlannedRequest, answer: Answer | None) -> None:
        """Append what the next request will hold as the answer to this one; None: a text that was made for it."""
        if plan.turn < len(self._prompts.answers):
            self.conversation.recite(self._prompts.answers[plan.turn])
        elif answer is not None:
            self.conversation.answered(answer, without_tokens=plan.dropped_tokens)
        if self._keeps:
            self._heard.append((plan, answer))

    def _begin_again(self, exchanges: int) -> None:
        """Only the first so many questions and their answers are left of the conversation."""
        heard, self._heard = self._heard[:exchanges], []
        self.conversation = self._format.conversation()
        for plan, answer in heard:
            self.conversation.ask(self._prompts.parts[plan.turn])
            self.answered(plan, answer)
