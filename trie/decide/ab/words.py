"""An A/B comparison in words: one sentence, a line a pair, a line a number."""

from __future__ import annotations

from collections.abc import Iterator
from math import expm1

from trie.decide.ab.result import Finding, Pair, Result
from trie.report.number_format import percent

WORDS = {
    "better": "B is better than A",
    "worse": "B is worse than A",
    "equivalent": "A and B are equivalent",
    "unsure": "it is not sure which is better",
}


def sentence(result: Result) -> str:
    """The answer."""
    if result.doubts:
        return f"not decided, since blocks can't be believed: {result.doubts[0]}"
    finding = result.main  # undecided where it was interrupted between two looks
    within = f" within {percent(result.plan.rule.margin)}" if finding.decision == "equivalent" else ""
    pairs = f"{len(result.pairs)} pairs of blocks of {result.plan.block_s:g} s"
    text = f"{WORDS[finding.decision]}{within}: {spread(finding)} after {pairs}"
    return f"{text}; {_more(result)}" if finding.decision == "unsure" else text


def spread(finding: Finding) -> str:
    """The difference of one number with its interval."""
    interval = finding.interval
    if interval is None:
        return f"{finding.of.label}: an interval takes two pairs"
    low, high = (percent(end, 1, sign=True) for end in (interval.low, interval.high))
    return f"{finding.of.label} {percent(interval.value, 1, sign=True)} ({low} to {high})"


def _more(result: Result) -> str:
    if result.interrupted:
        return "it was interrupted"
    more = result.needs_more
    return "it needs more pairs than that, or longer blocks" if more is None else f"it needs about {more} more pairs"


def pair_line(pair: Pair, result: Result) -> str:
    """One pair as it comes."""
    value = pair.differences[result.plan.metric]
    shown = "not measured" if value is None else percent(expm1(value), 1, sign=True)
    order = "A B" if pair.first == "a" else "B A"
    return f"pair {pair.number} ({order}): {result.main.of.label} {shown}; so far: {spread(result.main)}"


def lines(result: Result) -> Iterator[tuple[str, str]]:
    """What stands below the sentence, each under a word."""
    for finding in result.findings:
        note = "" if finding.of.key == result.plan.metric else ", not what was decided on"
        yield finding.decision, f"{spread(finding)}{note}"
    for doubt in result.doubts[1:]:
        yield "doubt", doubt
    for doubt in result.dropped:
        yield "again", f"measured again, since it could not be believed: {doubt}"
    unsteady = [line for pair in result.pairs for line in pair.unsteady]
    if unsteady:
        yield "unsteady", f"{unsteady[0]}{f' ({len(unsteady) - 1} more such)' if unsteady[1:] else ''}"
