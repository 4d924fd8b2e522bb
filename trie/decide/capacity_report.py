"""What a search for a capacity found: the answers of its cells, capacity.json, and the page with the curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trie.decide.capacity import Search
from trie.errors import ConfigError, EndpointError, RunDirError
from trie.metrics.columns import Columns
from trie.metrics.evaluate_run import evaluate
from trie.metrics.slo.answers import answers, believed, doubts
from trie.metrics.slo.evaluate import Judged, Met
from trie.metrics.slo.expression import parse_all
from trie.metrics.slo.of_run import judged_run
from trie.report.html.document import Block, Cell, Check, Column, Page, Table, Tone, Value, Verdict
from trie.report.html.plot import Plot
from trie.report.html.theme import GREY
from trie.report.number_format import fine
from trie.storage import sweep_dir
from trie.storage.run_dir import RunDir, write_json

CONNECT = "connect"  # kind of error
RESULT, PAGE = "capacity.json", "capacity.html"
TONES: dict[Met, Tone] = {"yes": "good", "no": "bad", "unsure": "warn"}


@dataclass(frozen=True, slots=True)
class Load:
    """One cell of a search."""

    load: int
    directory: str
    judged: tuple[Judged, ...]
    doubts: tuple[str, ...]  # why its numbers can't be believed: then no limit is surely met
    beyond: frozenset[str] = frozenset()  # tiers with a limit that is not sure, and beyond which the value is, if any
    gone_s: float | None = None  # since when nobody listened at the server's address, until the end of the cell

    @property
    def answers(self) -> dict[str, Met]:
        """One for each tier."""
        by_tier = answers(self.judged)
        return {tier: believed(answer, doubtful=bool(self.doubts)) for tier, answer in by_tier.items()}


def load_of(path: Path, slo: str | Mapping[str, Any] | None) -> Load:
    """A cell under these objectives, whatever it was measured for; one whose requests all failed misses all limits.

    Raises:
        RunDirError: when it left no rows.
    """
    run = evaluate(RunDir.open(path))
    objectives = parse_all(slo)
    judged = judged_run(run, objectives)
    beyond = frozenset(
        one.tier
        for objective, one in zip(objectives, judged, strict=True)
        if one.met == "unsure" and (one.value is None or not objective.meets(one.value))
    )
    load = run.manifest.settings.concurrency.value
    return Load(load, path.name, judged, tuple(doubts(run.summary.verdict)), beyond, _gone_s(run.columns))


def _gone_s(columns: Columns) -> float | None:
    """When a connection was refused after which no request ended well; None for a server that was there."""
    first_s = next((row["first_s"] for row in columns.errors() if row["error_kind"] == CONNECT), None)
    if first_s is None or (columns["end_s"][columns.outcome("ok")] > first_s).any():
        return None
    return float(first_s)


def measured_load(path: Path, load: int, slo: Any) -> Load:
    """What a cell says.

    Raises:
        EndpointError: for one that came to nothing, or whose server went away: it is measured again next time.
    """
    again = "run the same command again to resume"
    try:
        cell = load_of(path, slo)
    except RunDirError:
        raise EndpointError(f"the search stopped at load {load}, whose cell came to nothing; {again}") from None
    if cell.gone_s is not None:
        with sweep_dir.failure_noted(path):
            raise EndpointError(
                f"the search stopped at load {load}: from {cell.gone_s:.1f} s on nobody listened at the server's "
                f"address; start it and {again}, or search below that load if it dies there again"
            )
    return cell


def refuse_unmeasured(cell: Load) -> None:
    """Refuse limits on what even the first cell gives no number for, as TPOT without streaming.

    Raises:
        ConfigError: naming the limit.
    """
    for judged in cell.judged:
        if judged.value is None and judged.met == "unsure":
            raise ConfigError(
                f"slo: {judged.expression!r}: load {cell.load} gave no value: these settings do not measure it, or "
                "cells are too short (duration=...)"
            )


def report(directory: Path, about: str, searches: Mapping[str, Search], slo: Any, loads: Sequence[Load]) -> list[str]:
    """Write capacity.json and capacity.html; returns the answers, a line a tier.

    Raises:
        TrieError: when they can't be written.
    """
    loads = sorted(loads, key=lambda load: load.load)
    content = _content(directory / RESULT)
    content["searches"][about] = {
        "slo": slo,
        "tiers": {tier: {**asdict(search.capacity), "text": search.capacity.text} for tier, search in searches.items()},
        "loads": [
            {
                "load": load.load,
                "cell": load.directory,
                "answers": load.answers,
                "slo": [asdict(judged) for judged in load.judged],
                "doubts": load.doubts,
            }
            for load in loads
        ],
    }
    write_json(directory / RESULT, content)
    name = PAGE if not about else f"capacity-{[*content['searches']].index(about) + 1}.html"
    page(about, searches, loads).write(directory / name)
    return [f"{f'{tier}: ' if tier else ''}{search.capacity.text}" for tier, search in searches.items()]


def _content(path: Path) -> dict[str, Any]:
    """What earlier searches of the same folder left."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {"schema_version": 1, "searches": {}}
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path}: can't be read: {error}") from error
    return content if isinstance(content, dict) and "searches" in content else {"schema_version": 1, "searches": {}}


def page(about: str, searches: Mapping[str, Search], loads: Sequence[Load]) -> Page:
    """The page: the answers, a curve for each objective with its limit, and the cells."""
    lines = [f"{f'{tier}: ' if tier else ''}{search.capacity.text}" for tier, search in searches.items()]
    objectives = {(one.tier, one.expression): one for load in loads for one in load.judged}
    doubts = [Check("warning", load.directory, doubt) for load in loads for doubt in load.doubts]
    blocks: list[Block] = [
        Verdict(word="CAPACITY", tone="plain", detail="; ".join(lines), checks=doubts),
        *(_curve(at, one, loads) for at, one in enumerate(objectives.values())),
        _cells(loads),
    ]
    return Page(
        title=f"Capacity: {'; '.join(lines)}",
        subtitle=about,
        blocks=blocks,
        footer="trie -m search=capacity; docs/decisions.md says how the search works and when a cell is sure.",
    )


def _curve(at: int, objective: Judged, loads: Sequence[Load]) -> Plot:
    """The number against the load, with its intervals and the limit."""
    points = [(load.load, one) for load in loads for one in load.judged if _same(one, objective)]
    known = [(load, one) for load, one in points if one.value is not None]
    title = f"{objective.metric.rpartition('.')[2]} {objective.statistic}".strip()
    data: dict[str, list[Any]] = {
        "load": [load for load, _ in known],
        "value": [one.value for _, one in known],
        "low": [one.low for _, one in known],
        "high": [one.high for _, one in known],
        "met": [one.met for _, one in known],
    }
    tier = f"{objective.tier}: " if objective.tier else ""
    return Plot(
        key=f"objective-{at}",
        title=f"{tier}{objective.expression}",
        caption="The dashed line is the limit, a bar the 95 % interval.",
        data={"points": data, "limit": {"limit": [objective.limit]}},
        labels={"load": "Concurrency", "value": title, "low": "from", "high": "to", "met": "met"},
        spec={
            "layer": [
                {
                    "data": {"name": "limit"},
                    "mark": {"type": "rule", "strokeDash": [5, 4], "color": GREY},
                    "encoding": {"y": {"field": "limit", "type": "quantitative"}},
                },
                {
                    "data": {"name": "points"},
                    "mark": {"type": "rule"},
                    "encoding": {
                        "x": _LOAD,
                        "y": {"field": "low", "type": "quantitative", "title": title},
                        "y2": {"field": "high"},
                    },
                },
                {
                    "data": {"name": "points"},
                    "mark": {"type": "point", "size": 70, "tooltip": True},
                    "encoding": {
                        "x": _LOAD,
                        "y": {"field": "value", "type": "quantitative", "title": title},
                        "color": {"field": "met", "type": "nominal", "title": None},
                        "shape": {"field": "met", "type": "nominal", "title": None},
                    },
                },
            ]
        },
    )


_LOAD = {"field": "load", "type": "quantitative", "title": "concurrency", "scale": {"type": "log", "base": 2}}


def _same(one: Judged, other: Judged) -> bool:
    return (one.tier, one.expression) == (other.tier, other.expression)


def _cells(loads: Sequence[Load]) -> Table:
    columns = [Column("Concurrency"), Column("Objective"), Column("value"), Column("from"), Column("to"), Column("met")]
    rows: list[list[Value]] = []
    for load in loads:
        for one in load.judged:
            numbers = [None if number is None else Cell(number, text=fine(number)) for number in _numbers(one)]
            rows.append(
                [
                    Cell(load.load, href=f"{load.directory}/report.html"),
                    f"{one.tier} {one.expression}".strip(),
                    *numbers,
                    Cell(one.met, tone=TONES[one.met]),
                ]
            )
    return Table(caption="Cells of the search", columns=columns, rows=rows)


def _numbers(one: Judged) -> tuple[float | None, ...]:
    return one.value, one.low, one.high
