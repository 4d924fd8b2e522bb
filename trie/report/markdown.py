"""A run as Markdown, for comments on changes and for the summaries of CI steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from trie.metrics.definitions import PER_REQUEST, PER_TRACE, STATISTICS, Section, declared
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.metric_names import numbers
from trie.metrics.shown_numbers import MARK, mark, shown
from trie.one_line import printable
from trie.report.labels import head, marked_note, warnings_of
from trie.report.list_table import NOTE
from trie.report.number_format import MISSING, fine
from trie.report.run_list import Listed, columns, name_of, of_run

# What Markdown or a forge would act on: emphasis, links, code, tables, mentions, references.
ACTIVE = str.maketrans({character: f"&#{ord(character)};" for character in "|`*_[]@#~\\!"})


def literal(text: str) -> str:
    """Text that others wrote, as itself."""
    return escape(printable(text), quote=False).translate(ACTIVE)


def starless(text: str) -> str:
    """Our own text, whose mark is no emphasis."""
    return text.replace(MARK, f"\\{MARK}")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table whose columns after the first are figures."""
    yield f"| {' | '.join(heads)} |"
    yield f"| --- |{' --: |' * (len(heads) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def run_markdown(run: EvaluatedRun) -> str:
    """Verdict, first numbers with the number of values behind them, and folded away the tables."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: EvaluatedRun) -> Iterator[str]:
    summary, entry = run.summary, of_run(run.run.path, run.manifest, run.summary)
    warnings = warnings_of(summary)
    verdict = f"{entry.verdict}{f' with {warnings}' if warnings else ''}"
    yield f"### {literal(entry.workload)}, concurrency {entry.concurrency}: {verdict}"
    yield ""
    yield from first_numbers(entry)
    yield ""
    for check in summary.verdict:
        if not check.ok:
            yield f"- **{check.level}**: {literal(check.line)}; {literal(check.advice)}"
    yield ""
    for word, line in head(run.manifest):
        yield f"- {word}: {literal(line)}"
    values = shown(numbers(summary.to_json()))
    for section in (PER_TRACE, PER_REQUEST):
        yield from ("", f"<details><summary>{section.title}</summary>", "")
        yield from _statistics(section, values)
        yield from ("", "</details>")


def first_numbers(entry: Listed) -> Iterator[str]:
    """The numbers that are looked for first, each with its n."""
    rows = []
    for number in columns():
        n = entry.values.get(f"{number.metric.path}.n")
        text = entry.text(number)
        unit = "" if text == MISSING else f" {number.display.unit}"
        rows.append([name_of(number), starless(f"{text}{unit}"), MISSING if n is None else fine(int(n))])
    yield from table(["", "value", "n"], rows)
    if any(MARK in text for _, text, _ in rows):
        yield from ("", starless(NOTE))


def _statistics(section: Section, values: Mapping[str, float | None]) -> Iterator[str]:
    statistics = [statistic for statistic in STATISTICS if statistic.brief]
    rows = []
    for metric in declared(section):
        figures = {
            number.part: fine(number.shown(values.get(number.key))) for number in metric.numbers() if number.part
        }
        name = f"{metric.heading} {mark(metric, values)}".rstrip()
        rows.append([starless(name), *(figures[statistic] for statistic in statistics)])
    yield from table(["", *(statistic.label for statistic in statistics)], rows)
    if note := marked_note(section, values):
        yield from ("", starless(note))
