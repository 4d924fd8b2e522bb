"""What one session will say: the texts of a trace's prompts and tool outputs, ready before they are needed."""

from __future__ import annotations

from dataclasses import dataclass

from trie.prompts.pool import Pieces
from trie.trace import Trace


@dataclass(frozen=True, slots=True)
class Script:
    """The new text of each request of a trace.

    `parts[i]` are pieces whose concatenation is UTF-8 that needs no JSON escaping: the input prompt for i = 0, the
    output of tool i - 1 after that. Every part begins with a space, the joint at which tokens never merge; in token
    ids, with a comma. `answers[i]`, where there are any, goes back in the place of the server's answer i.
    """

    trace: Trace
    session_id: int
    parts: tuple[Pieces, ...]
    answers: tuple[Pieces, ...] = ()
