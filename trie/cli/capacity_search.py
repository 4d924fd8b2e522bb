"""`trie -m search=capacity slo=... concurrency=4..512`: cells that a search asks for, one after the other.

It is a sweep whose next cell depends on what came of the last: cells have directories, are skipped when they are done
and repeated when they are not, as in any sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep

from trie.cli import typed_config
from trie.cli.sweeper import Cells, show
from trie.config import CommandConfig
from trie.decide.capacity import Search
from trie.errors import ConfigError
from trie.metrics.slo.evaluate import Met
from trie.metrics.slo.expression import tiers
from trie.storage import sweep_dir

if TYPE_CHECKING:
    from trie.decide.capacity_report import Load

log = logging.getLogger("trie")

RANGE = "search=capacity takes a range of loads: concurrency=4..512"


class CapacityCells(Cells):
    """Measures the cells that the searches of all tiers ask for, for each product of the other swept settings."""

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Search; returns the results of the cells that were measured.

        Raises:
            TrieError: before the first cell for a mistake, after the last when any failed.
        """
        shape = self.config.load.shape  # before the rules of all settings: the search's start is for a closed loop too
        if shape != "closed":
            raise ConfigError(f"load={shape}: search=capacity looks for a concurrency, and needs load=closed")
        settings = typed_config.settings(typed_config.without_hydra(self.config))
        if settings.slo is None:
            raise ConfigError("search=capacity: needs limits to search by: slo='ttft_s<2@p95'")
        if settings.repeats > 1:
            raise ConfigError(f"repeats={settings.repeats}: search=capacity measures each load once")
        directory = Path(self.config.hydra.sweep.dir)
        products, loads = self._split(arguments)
        _refuse_plan(settings, loads)
        self._begin(directory)
        results: list[Any] = []
        lines: list[str] = []
        try:
            for product, about in products:
                measured, answers = self._search(product, about, loads, settings, directory)
                results += measured
                lines += answers
        except KeyboardInterrupt:
            log.warning("run the same command again to resume; what is done so far: %s", directory)
            raise
        show(directory, sweep_dir.find(directory), capacities=lines)
        return results

    def _split(self, arguments: Sequence[str]) -> tuple[list[tuple[list[str], str]], range]:
        """The products of all other settings, each with what is its own of them, and the loads."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        ranges = [override for override in overrides if override.get_key_element() == "concurrency"]
        swept = {override.get_key_element() for override in overrides if override.is_sweep_override()}
        [products] = self.split_arguments([override for override in overrides if override not in ranges], None)
        own = [" ".join(item for item in product if item.partition("=")[0] in swept) for product in products]
        return [(list(product), about) for product, about in zip(products, own, strict=True)], _loads(ranges)

    def _search(
        self, product: list[str], about: str, loads: range, settings: CommandConfig, directory: Path
    ) -> tuple[list[Any], list[str]]:
        """One search, of all tiers at once: the results of its cells, and the answers in words."""
        from trie.decide.capacity_report import measured_load, refuse_unmeasured, report  # numpy, not for mistakes

        searches = {tier: Search(loads[0], loads[-1]) for tier in tiers(settings.slo)}
        results: list[Any] = []
        cells: list[Load] = []
        while (load := _next(searches)) is not None:
            overrides = [*product, f"concurrency={load}"]
            job = self._cell(len(cells), overrides, self._compose(overrides), {"concurrency"}, directory)
            if job.planned.refused is not None:
                raise ConfigError(job.planned.refused)
            if job.planned.to_do:
                log.info("load %d, cell %d of the search: %s", load, len(cells) + 1, job.planned.name)
                results += self._launch([job], directory)
            cells.append(measured_load(directory / job.planned.name, load, settings.slo))
            if len(cells) == 1:
                refuse_unmeasured(cells[0])
            answers = cells[-1].answers
            for tier, search in searches.items():
                search.record(load, answers[tier], beyond=tier in cells[-1].beyond)
            _log_answers(load, answers)
        lines = report(directory, about, searches, settings.slo, cells)
        return results, [f"{f'{about}: ' if about else ''}{line}" for line in lines]


def _refuse_plan(settings: CommandConfig, loads: range) -> None:
    if settings.plan:
        most = Search(loads[0], loads[-1]).most_cells * len(tiers(settings.slo))
        raise ConfigError(
            f"plan=true: which cells a search measures depends on their results; here about {most} of "
            f"{settings.duration:g} s each"
        )


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


def _log_answers(load: int, answers: Mapping[str, Met]) -> None:
    words = {"yes": "meets", "no": "misses", "unsure": "is not sure about"}
    for tier, answer in answers.items():
        log.info("load %d %s the limits%s", load, words[answer], f" of {tier}" if tier else "")
