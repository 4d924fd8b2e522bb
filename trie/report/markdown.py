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
from trie.report.number_format import MISSING, fine
from trie.report.run_list import Listed, notes, of_run, text_of

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
    yield from _first_numbers(entry)
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


def _first_numbers(entry: Listed) -> Iterator[str]:
    """The six, each with its interval and its n."""
    rows = []
    for number in entry.numbers:
        unit = "" if number.value is None else f" {number.number.display.unit}"
        low, high = number.low, number.high
        interval = MISSING if low is None or high is None else f"{fine(low)} to {fine(high)}"
        rows.append(
            [
                number.name,
                starless(f"{text_of(number)}{unit}"),
                interval,
                MISSING if number.n is None else f"{number.n:,}",
            ]
        )
    yield from table(["", "value", "95 %", "n"], rows)
    for note in notes([entry]):
        yield from ("", starless(note))


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
