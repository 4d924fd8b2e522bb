"""How far the server's counts of tokens are from the accounting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.sections import Drift
from trie.storage.manifest import Manifest, Template


def drift(columns: Columns, manifest: Manifest, numbers: Mapping[str, Any]) -> Drift:
    """The server's counts against the accounting, over requests that ended well and report usage.

    What a chat's template adds, as measured before the run, is a part of the drift, stated beside it: what is left
    then is unexplained. Of completions the first prompt was made shorter already by what the server adds.
    """
    ok = columns.outcome("ok")
    prompt, completion = columns["usage_prompt_tokens"], columns["usage_completion_tokens"]
    counted, completed = ok & ~np.isnan(prompt), ok & ~np.isnan(completion)
    accounted = (columns["new_prompt_tokens"] + columns["cached_prompt_tokens"])[counted]
    off = prompt[counted] - accounted
    asked = columns["requested_completion_tokens"][completed]
    missing = np.maximum(asked - completion[completed], 0.0)
    short = missing > 0
    template = manifest.prompts.template
    turns, bos_tokens = columns["turn"] - columns["lost_turns"], manifest.settings.endpoint.bos_tokens or 0
    added = _template_tokens(turns, template, bos_tokens)[counted]
    whole = float(accounted.sum())
    return Drift(
        requests_with_usage=int(counted.sum()),
        offset_tokens=manifest.prompts.offset_tokens,
        prompt_tokens=float(off.sum()) if len(off) else None,
        prompt_max_abs_tokens=float(np.abs(off).max()) if len(off) else None,
        template_first_tokens=None if template is None else template.first_tokens,
        template_per_turn_tokens=None if template is None else template.per_turn_tokens,
        template_ratio=_ratio(float(added.sum()), whole) if template and len(off) else None,
        unexplained_ratio=_ratio(float((off - added).sum()), whole) if len(off) else None,
        unexplained_max_abs_tokens=float(np.abs(off - added).max()) if len(off) else None,
        completion_short_requests=int(short.sum()) if len(short) else None,
        completion_asked_tokens=int(asked.sum()) if len(short) else None,
        completion_missing_tokens=int(missing.sum()) if len(short) else None,
        completion_short_reasons=_reasons(columns, completed, short),
        **numbers,
    )


def _reasons(columns: Columns, completed: Bools, short: Bools) -> dict[str, int]:
    """How the answers ended that are shorter than asked, by the server's own word for it, the commonest first."""
    index, names = columns.names("finish_reason")
    reasons = Counter(names[number] if number >= 0 else "no reason" for number in index[completed][short])
    return dict(reasons.most_common())


def _template_tokens(turns: Floats, template: Template | None, bos_tokens: int) -> Floats:
    """What a chat's template adds to each request's prompt beyond what was taken off the first one."""
    if template is None:
        return np.zeros(len(turns))
    return template.first_tokens - bos_tokens + template.per_turn_tokens * turns


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
