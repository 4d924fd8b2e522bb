"""`trie -m search=capacity slo=... concurrency=4..512`: cells that a search asks for, one after the other.

It is a sweep whose next cell depends on what came of the last: cells have directories, are skipped when they are done
and repeated when they are not, as in any sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep

from trie.cli import typed_config
from trie.cli.sweeper import Cells, Job
from trie.config import CommandConfig
from trie.decide.capacity import Answer, Search
from trie.errors import ConfigError
from trie.metrics.slo.expression import tiers
from trie.one_line import printable

log = logging.getLogger("trie")

RANGE = "search=capacity takes a range of loads: concurrency=4..512"


class CapacityCells(Cells):
    """Measures the cells that the searches of all tiers ask for, for each product of the other swept settings."""

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Search; returns the results of the cells that were measured.

        Raises:
            TrieError: before the first cell for a mistake, after the last when any failed.
        """
        settings = typed_config.settings(typed_config.without_hydra(self.config))
        if settings.slo is None:
            raise ConfigError("search=capacity: needs limits to search by: slo='ttft_s<2@p95'")
        if settings.repeats > 1:
            raise ConfigError(f"repeats={settings.repeats}: search=capacity measures each load once")
        directory = Path(self.config.hydra.sweep.dir)
        others, loads = self._split(arguments)
        self._refuse_plan(settings, loads)
        self._begin(directory)
        results: list[Any] = []
        for product in others:
            results += self._search(product, loads, settings, directory)
        self._end([], results, directory)
        return results

    def _split(self, arguments: Sequence[str]) -> tuple[list[list[str]], range]:
        """The products of all other settings, and the loads."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        ranges = [override for override in overrides if override.get_key_element() == "concurrency"]
        loads = _loads(ranges)
        [products] = self.split_arguments([override for override in overrides if override not in ranges], None)
        return [list(product) for product in products], loads

    def _refuse_plan(self, settings: CommandConfig, loads: range) -> None:
        if settings.plan:
            most = len(list(_steps(loads)))
            raise ConfigError(
                f"plan=true: which cells a search measures depends on their results; here at most {most} of "
                f"{settings.duration:g} s each"
            )

    def _search(self, product: list[str], loads: range, settings: CommandConfig, directory: Path) -> list[Any]:
        """One search, of all tiers at once; its answer is written and printed."""
        from trie.decide.capacity_report import load_of, report  # numpy, not for mistakes

        searches = {tier: Search(loads[0], loads[-1]) for tier in tiers(settings.slo)}
        results: list[Any] = []
        cells: list[Path] = []
        while (load := _next(searches)) is not None:
            job = self._job(len(cells), [*product, f"concurrency={load}"], directory)
            if job.planned.refused is not None:
                raise ConfigError(job.planned.refused)
            cells.append(directory / job.planned.name)
            if job.planned.to_do:
                log.info("load %d, cell %d of the search: %s", load, len(cells), job.planned.name)
                results += self._launch([job], directory)
            answers = load_of(cells[-1], settings.slo).answers
            for tier, search in searches.items():
                search.record(load, answers[tier])
            _log_answers(load, answers)
        for line in report(directory, " ".join(product), searches, settings.slo, cells):
            print(f"capacity{f' ({printable(' '.join(product))})' if product else ''}: {line}", flush=True)
        return results

    def _job(self, number: int, overrides: list[str], directory: Path) -> Job:
        return self._cell(number, overrides, self._compose(overrides), {"concurrency"}, directory)


def _next(searches: Mapping[str, Search]) -> int | None:
    """The next load of the first search that wants one."""
    wanted = (search.next_load() for search in searches.values())
    return next((load for load in wanted if load is not None), None)


def _loads(overrides: Sequence[Override]) -> range:
    """The range that was typed.

    Raises:
        ConfigError: for none, or for something else.
    """
    values = [override.value() for override in overrides]
    if len(values) != 1 or not isinstance(values[0], RangeSweep):
        raise ConfigError(RANGE)
    low, high = int(values[0].start or 0), int(values[0].stop or 0)
    if not 1 <= low < high:
        raise ConfigError(f"concurrency={low}..{high}: must go up, from 1 or more")
    return range(low, high + 1)


def _steps(loads: range) -> Iterator[int]:
    """As many as a search takes at most."""
    yield from range((len(loads) - 1).bit_length() + 2)


def _log_answers(load: int, answers: Mapping[str, Answer]) -> None:
    words = {"yes": "meets", "no": "misses", "unsure": "is not sure about"}
    for tier, answer in answers.items():
        log.info("load %d %s the limits%s", load, words[answer], f" of {tier}" if tier else "")
