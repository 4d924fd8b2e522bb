"""A comparison as Markdown, for comments on changes and for the summaries of CI steps."""

from __future__ import annotations

from collections.abc import Iterator

from trie.compare.comparison import Comparison, Pair
from trie.compare.format import WORDS, cells, facts_of, headline_keys, notes, sections, setting_line
from trie.report.markdown import literal, table

HEADS = ["", "baseline", "candidate", "change", "interval", ""]


def comparison_markdown(comparison: Comparison) -> str:
    """Gates first, then doubts, the headline numbers of each pair, and folded away all others."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    failed = comparison.failed
    gates = [
        (name, pair, judged) for name, pairs in comparison.cells.items() for pair in pairs for judged in pair.gates
    ]
    verdict = f": {len(failed)} of {len(gates)} gates failed" if failed else ": all gates passed" if gates else ""
    yield f"### Comparison with {literal(str(next(iter(comparison.inputs.values()))))}{verdict}"
    yield ""
    for name, pair, judged in gates:
        where = f"{name} {pair.candidate.label}".strip()
        word = "**failed**" if judged.failed else "passed"
        yield f"- gate {word}: {literal(judged.gate.text)} ({literal(where)}: {judged.text})"
    for line in dict.fromkeys(_doubts(comparison)):
        yield f"- **warning**: {literal(line)}"
    for line in comparison.alone:
        yield f"- passed over: {literal(line)}"
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            yield from _pair(name, pair)
    for line in notes(comparison.pairs[0], comparison.settings):
        yield from ("", literal(line))


def _doubts(comparison: Comparison) -> Iterator[str]:
    for pair in comparison.pairs:
        for doubt in pair.doubts:
            yield f"{doubt.what}: {doubt.found}; {doubt.advice}"


def _pair(name: str, pair: Pair) -> Iterator[str]:
    yield from ("", f"**{literal(name or str(pair.candidate.path))}**", "")
    for run in (*pair.baseline.runs, *pair.candidate.runs):
        yield f"- {run.label}: {literal(facts_of(run))}"
    for setting in pair.settings:
        yield f"- setting {literal(setting_line(setting))}"
    yield ""
    first = [difference for key in headline_keys() for difference in pair.shown if difference.of.key == key]
    measured = [difference for difference in first if difference.measured]
    yield from table(HEADS, ([d.of.titled, *cells(d), WORDS[d.verdict]] for d in measured))
    for title, differences in sections(pair, everything=False):
        yield from ("", f"<details><summary>{title}</summary>", "")
        yield from table(HEADS, ([d.of.titled, *cells(d), WORDS[d.verdict]] for d in differences))
        yield from ("", "</details>")
