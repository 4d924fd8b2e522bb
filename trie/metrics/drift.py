"""How far the server's counts of tokens are from the accounting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.sections import Drift
from trie.storage.manifest import Manifest, Template


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of the requests of a block that ended well: of prompts with usage, and of answers with it."""

    prompts: int
    off: float  # tokens by which the server's counts are above the accounting, summed
    off_most: float
    accounted: float
    template: float
    unexplained: float
    unexplained_most: float
    answers: int
    short: int
    asked: float
    missing: float
    reasons: Counter[str]  # of the short ones, in the server's own words

    def __add__(self, other: _Counts) -> _Counts:
        most = {"off_most", "unexplained_most"}
        pairs = {column.name: (getattr(self, column.name), getattr(other, column.name)) for column in fields(self)}
        return _Counts(**{name: max(*pair) if name in most else pair[0] + pair[1] for name, pair in pairs.items()})


def drift(columns: Columns, manifest: Manifest, numbers: Mapping[str, Any]) -> Drift:
    """The server's counts against the accounting, over requests that ended well and report usage.

    What a chat's template adds, as measured before the run, is a part of the drift, stated beside it: what is left
    then is unexplained. Of completions the first prompt was made shorter already by what the server adds.
    """
    template, bos_tokens = manifest.prompts.template, manifest.settings.endpoint.bos_tokens or 0
    counts = reduce(add, columns.of_blocks(lambda block: _counts(block, template, bos_tokens)))
    prompts, answers = counts.prompts > 0, counts.answers > 0
    return Drift(
        requests_with_usage=counts.prompts,
        offset_tokens=manifest.prompts.offset_tokens,
        prompt_tokens=counts.off if prompts else None,
        prompt_max_abs_tokens=counts.off_most if prompts else None,
        template_first_tokens=None if template is None else template.first_tokens,
        template_per_turn_tokens=None if template is None else template.per_turn_tokens,
        template_ratio=_ratio(counts.template, counts.accounted) if template and prompts else None,
        unexplained_ratio=_ratio(counts.unexplained, counts.accounted) if prompts else None,
        unexplained_max_abs_tokens=counts.unexplained_most if prompts else None,
        completion_short_requests=counts.short if answers else None,
        completion_asked_tokens=int(counts.asked) if answers else None,
        completion_missing_tokens=int(counts.missing) if answers else None,
        completion_short_reasons=dict(counts.reasons.most_common()),
        **numbers,
    )


def _counts(columns: Columns, template: Template | None, bos_tokens: int) -> _Counts:
    ok = columns.outcome("ok")
    prompt, completion = columns["usage_prompt_tokens"], columns["usage_completion_tokens"]
    counted, completed = ok & ~np.isnan(prompt), ok & ~np.isnan(completion)
    accounted = (columns["new_prompt_tokens"] + columns["cached_prompt_tokens"])[counted]
    off = prompt[counted] - accounted
    asked = columns["requested_completion_tokens"][completed]
    missing = np.maximum(asked - completion[completed], 0.0)
    short = missing > 0
    turns = columns["turn"] - columns["lost_turns"]
    added = _template_tokens(turns, template, bos_tokens)[counted]
    return _Counts(
        prompts=len(off),
        off=float(off.sum()),
        off_most=float(np.abs(off).max(initial=0.0)),
        accounted=float(accounted.sum()),
        template=float(added.sum()),
        unexplained=float((off - added).sum()),
        unexplained_most=float(np.abs(off - added).max(initial=0.0)),
        answers=len(missing),
        short=int(short.sum()),
        asked=float(asked.sum()),
        missing=float(missing.sum()),
        reasons=_reasons(columns, completed, short),
    )


def _reasons(columns: Columns, completed: Bools, short: Bools) -> Counter[str]:
    """How the answers ended that are shorter than asked, by the server's own word for it."""
    index, names = columns.names("finish_reason")
    codes = Counter(index[completed][short].tolist())
    return Counter({names[code] if code >= 0 else "no reason": count for code, count in codes.items()})


def _template_tokens(turns: Floats, template: Template | None, bos_tokens: int) -> Floats:
    """What a chat's template adds to each request's prompt beyond what was taken off the first one."""
    if template is None:
        return np.zeros(len(turns))
    return template.first_tokens - bos_tokens + template.per_turn_tokens * turns


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
