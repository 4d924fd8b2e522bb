"""How sure a run's numbers are and whether the server did the same thing all the time, as blocks of its page."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.definitions import metric_of
from trie.metrics.sections import Steadiness
from trie.metrics.summary import Summary
from trie.report.certainty_lines import certainty_lines
from trie.report.html.document import Block, Column, Facts, Table

PLATEAUS = "Level shifts part the steady state; the numbers of the whole run are a mean over these."
WHY = "not known"  # over the reasons for missing intervals where no other line stands before them


def sureness_blocks(summary: Summary, traces: int) -> Iterator[Block]:
    """Intervals, estimates for the whole workload and reasons for missing ones; plateaus where there are several."""
    facts: dict[str, str | None] = {}
    for word, line in certainty_lines(summary.certainty, traces):
        last = word or next(reversed(facts), WHY)
        facts[last] = f"{facts[last]}; {line}" if facts.get(last) else line
    if facts:
        yield Facts(facts)
    if summary.steadiness is not None and len(summary.steadiness.plateaus) > 1:
        yield _plateaus(summary.steadiness)


def _plateaus(steadiness: Steadiness) -> Table:
    rate, tpot = metric_of("workload.completion_tok_s"), metric_of("per_request.tpot_s")
    factor = tpot.display.factor
    return Table(
        caption="Plateaus",
        columns=[
            Column("From", "s"),
            Column("To", "s"),
            Column(rate.label, rate.unit),
            Column(tpot.label, tpot.display.unit),
            Column("Eligible cache hit rate", "%"),
            Column("Context of active sessions", "tokens"),
        ],
        rows=[
            [
                part.from_s,
                part.until_s,
                part.completion_tok_s,
                None if part.tpot_s is None else part.tpot_s * factor,
                part.eligible_hit_rate_pct,
                part.context_tokens,
            ]
            for part in steadiness.plateaus
        ],
        note=PLATEAUS,
    )
