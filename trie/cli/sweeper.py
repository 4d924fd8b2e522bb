"""A sweep: Hydra's product of settings, with a plan in front, an order, repeats, and a report after every cell.

Hydra's own sweeper starts all jobs in one go, says which failed after the last, and forgets what was done before.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from trie.cli import launchers, typed_config
from trie.cli.cell_overrides import added_settings, changed, key_of, without
from trie.cli.hydra_app import EXIT_INVALID, Task
from trie.config import Clock, CommandConfig, RunConfig
from trie.errors import ConfigError, RunDirError, TrieError
from trie.one_line import lasting
from trie.storage import sweep_dir
from trie.storage.sweep_dir import Cell
from trie.sweep import plan
from trie.sweep.plan import Planned

log = logging.getLogger("trie")
NO_PROFILE = "default"  # the embedded endpoint's own, fitted to nothing


@dataclass(frozen=True)
class Job:
    """One cell: what Hydra is given for it, and what the plan says of it."""

    number: int  # from 0, in the order of the sweep
    overrides: list[str]
    planned: Planned
    config: RunConfig | None  # None where its settings are refused
    profile: str  # that was chosen


class Cells(BasicSweeper):  # type: ignore[misc]
    """Plans the cells, measures those that are not done, and keeps the sweep's report up to date."""

    def setup(self, *, task_function: Task, **context: Any) -> None:
        """Called by Hydra."""
        super().setup(task_function=task_function, **context)
        self._outcome = task_function.outcome
        self._outcome.apart = not isinstance(self.launcher, BasicLauncher)
        if self._outcome.apart:
            self._outcome.keys.refuse_other_processes()

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Measure what there is to measure; returns the results of its jobs.

        Raises:
            TrieError: before the first cell for a mistake in all of them, after the last when any failed.
        """
        settings = typed_config.settings(typed_config.without_hydra(self.config))
        directory = Path(self.config.hydra.sweep.dir)
        cells = list(self._cells(arguments, settings, directory))
        _refuse_shared(cells)
        batches = launchers.batches(cells, self._batch_size(len(cells)))
        if self._outcome.apart:
            launchers.refuse(batches, self.config.hydra.launcher)
        if settings.plan:
            cells = list(_forecasts(cells))
        self._show(cells, settings, directory)
        if settings.plan:
            return []
        self._begin(directory)
        try:
            results = self._measure(batches, settings, directory)
        except KeyboardInterrupt:
            log.warning("run the same command again to resume; what is done so far: %s", directory)
            raise
        self._end(cells, results, directory)
        return results

    def _cells(self, arguments: list[str], settings: CommandConfig, directory: Path) -> Iterator[Job]:
        """Every cell in the order of the sweep, composed and compared with what its directory holds."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        _refuse_swept(overrides, settings)
        swept = {override.get_key_element() for override in overrides if override.is_sweep_override()}
        [products] = self.split_arguments(overrides, None)
        composed = [(product, self._compose(product)) for product in products]
        in_order = plan.ordered(composed, settings.repeats, settings.order, settings.order_seed)
        for number, ((overrides_of_cell, config), repeat) in enumerate(in_order):
            added = added_settings(overrides_of_cell, config, swept, repeat)
            final = [*without(overrides_of_cell, added), *added]
            yield self._cell(number, final, changed(config, added, number), swept, directory)

    def _compose(self, overrides: list[str]) -> DictConfig:
        config: DictConfig = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return config

    def _cell(self, number: int, overrides: list[str], config: DictConfig, swept: set[str], directory: Path) -> Job:
        path = directory / str(config.hydra.sweep.subdir)
        earlier = sweep_dir.intact(sweep_dir.read(path)) if path.is_dir() else None
        refused, run = None, None
        try:
            run = typed_config.validate(typed_config.without_hydra(config))
        except ConfigError as error:
            refused = str(error)
        others = [item for item in overrides if key_of(item) in swept - {"workload", "concurrency", "repeat"}]
        planned = Planned(
            name=path.name,
            row=" ".join([str(config.workload.name), *others]),
            concurrency=int(config.concurrency.value),
            repeat=int(config.repeat),
            duration_s=float(config.duration),
            status=None if earlier is None else earlier.status,
            why="" if earlier is None else earlier.why,
            again=bool(config.rerun),
            refused=refused,
        )
        return Job(number, overrides, planned, run, str(config.hydra.runtime.choices.profile))

    def _show(self, cells: Sequence[Job], settings: CommandConfig, directory: Path) -> None:
        from trie.cli.console import console  # what draws is not for those who draw nothing
        from trie.sweep.terminal import show_plan

        planned = [cell.planned for cell in cells]
        sweep = plan.Plan(str(directory), planned, settings.order, settings.pause, self._batch_size(len(cells)) > 1)
        show_plan(sweep, datetime.now().astimezone(), console())
        if settings.plan_json is not None:
            _write_plan(sweep, Path(settings.plan_json))
        for cell in planned:
            if not cell.to_do:
                log.info("done before, skipped: %s", directory / cell.name)

    def _begin(self, directory: Path) -> None:
        """Make the sweep's directory and note in it what was asked for."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, directory / sweep_dir.HYDRA_SWEEP)
        except OSError as error:
            raise RunDirError(f"{directory}: can't make the directory of the sweep: {error.strerror}") from error

    def _batch_size(self, cells: int) -> int:
        """How many cells run at once: all, unless it was set, where the launcher starts processes."""
        return max(self.max_batch_size or cells, 1) if self._outcome.apart else 1

    def _measure(self, batches: Sequence[Sequence[Job]], settings: CommandConfig, directory: Path) -> list[JobReturn]:
        """Launch batch after batch: one cell, or several at once."""
        cells = [cell for batch in batches for cell in batch]
        results: list[JobReturn] = []
        for batch in batches:
            at = len(results)
            if at and settings.pause:
                log.info("pause of %s", lasting(settings.pause))
                time.sleep(settings.pause)
            self._outcome.position = launchers.position(at, len(batch), len(cells))
            if self._outcome.verbose:
                left = plan.time_to_go((cell.planned for cell in cells[at:]), settings.pause)
                names = ", ".join(cell.planned.name for cell in batch)
                log.info("%s: %s; %s to go", self._outcome.position, names, lasting(left))
            launched = self._launch(batch, directory)
            left = plan.time_to_go((cell.planned for cell in cells[at + len(batch) :]), settings.pause)
            for number, (cell, result) in enumerate(zip(batch, launched, strict=True), at + 1):
                if result.status is JobStatus.COMPLETED and not self._outcome.verbose:
                    _say(f"cell {number} of {len(cells)}", directory / cell.planned.name, left)
            results += launched
        return results

    def _launch(self, cells: Sequence[Job], directory: Path) -> Sequence[JobReturn]:
        """Measure these cells and bring the report up to date, however they end; a bug in one is shown at once."""
        overrides = [cell.overrides for cell in cells]
        if self._outcome.apart:
            overrides = [[*cell.overrides, launchers.own_directory(cell.planned.name)] for cell in cells]
        try:
            results: Sequence[JobReturn] = self.launcher.launch(overrides, cells[0].number)
        finally:
            report(directory)
        for cell, result in zip(cells, results, strict=True):
            strict = cell.config is not None and cell.config.strict
            if strict and sweep_dir.read(directory / cell.planned.name).summary.get("valid") is False:
                self._outcome.code = EXIT_INVALID  # which a cell in another process can't set
            error = result._return_value  # noqa: SLF001 - the public name raises it
            if result.status is not JobStatus.COMPLETED and not isinstance(error, TrieError):  # which the cell has said
                log.error("%s: ended by a bug: %s", cell.planned.name, error, exc_info=error)
        return results

    def _end(self, cells: Sequence[Job], results: Sequence[JobReturn], directory: Path) -> None:
        """Print the headline, and last the sweep's directory alone on a line, for scripts.

        Raises:
            TrieError: when a cell failed.
        """
        failed = [result for result in results if result.status is not JobStatus.COMPLETED]
        show(directory, sweep_dir.find(directory))
        if failed:
            raise TrieError(f"{len(failed)} of {len(cells)} cells failed; run the same command again to measure them")


def _forecasts(cells: Sequence[Job]) -> Iterator[Job]:
    """The cells with what virtual time says of them, where there is a profile to ask."""
    memory: dict[str, Planned] = {}
    for cell in cells:
        if cell.config is None or (cell.profile == NO_PROFILE and cell.config.clock is not Clock.virtual):
            yield cell
            continue
        same = repr(replace(cell.config, repeat=1))  # with its seed: orders, arrivals and starts are drawn by it
        if same not in memory:
            memory[same] = _with_forecast(cell.planned, cell.config)
        known = memory[same]
        yield replace(cell, planned=replace(cell.planned, forecast=known.forecast, no_forecast=known.no_forecast))


def _with_forecast(planned: Planned, config: RunConfig) -> Planned:
    from trie.sweep.cell_forecast import forecast  # numpy and pyarrow, not for a plan without
    from trie.workload.load import load

    try:
        return replace(planned, forecast=forecast(config, load(config.workload)))
    except TrieError as error:
        return replace(planned, no_forecast=str(error))


def _write_plan(sweep: plan.Plan, path: Path) -> None:
    try:
        path.write_text(json.dumps(sweep.to_json(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"plan_json={path}: can't be written: {error.strerror}") from error


def report(directory: Path) -> None:
    """Write the sweep's report anew; what keeps it from being written ends no sweep."""
    from trie.sweep.page import write  # pyarrow, not for a plan

    try:
        write(directory, sweep_dir.find(directory))
    except TrieError as error:
        log.error("the report of the sweep is not up to date: %s", error)  # noqa: TRY400 - an error of the user's


def _say(position: str, path: Path, left_s: float) -> None:
    """Print what came of a cell, in one line."""
    from trie.report.list_table import line  # pyarrow, not for a plan
    from trie.report.run_list import listed

    more = f"; {lasting(left_s)} to go" if left_s else ""
    print(f"{position}  {line(listed(path))}{more}", flush=True)


def _refuse_swept(overrides: Sequence[Override], settings: CommandConfig) -> None:
    """Refuse several values for what a sweep has one of."""
    of_a_sweep = {field.name for field in fields(CommandConfig)} - {field.name for field in fields(RunConfig)}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override() and key in of_a_sweep:
            raise ConfigError(f"{override.input_line}: a sweep takes one value of {key}")
        if key == "repeat" and settings.repeats > 1:
            raise ConfigError(
                f"{override.input_line}: repeats={settings.repeats} numbers the repeats; leave out one of the two"
            )


def _refuse_shared(cells: Sequence[Job]) -> None:
    """Refuse two cells in one directory, where the second would be taken for the first."""
    names = [cell.planned.name for cell in cells]
    shared = next((name for name in names if names.count(name) > 1), None)
    if shared is not None:
        raise ConfigError(f"{shared}: several cells of the sweep are the same, or share this hydra.sweep.subdir")


def show(directory: Path, cells: Sequence[Cell], forecast: Sequence[Cell] = (), capacities: Sequence[str] = ()) -> None:
    """Rewrite a sweep's report, print its headline, and last its directory alone on a line, for scripts.

    Args:
        directory: of the sweep.
        cells: of the sweep.
        forecast: cells of virtual time, to lay behind them.
        capacities: what a search found, a line each.

    Raises:
        TrieError: when the report can't be written.
    """
    from trie.cli.console import console  # not for JSON
    from trie.report.terminal import print_lines
    from trie.sweep.page import write
    from trie.sweep.terminal import show_headline

    show_headline(write(directory, cells, forecast), console())
    print_lines(console(), [("capacity", line) for line in capacities])
    print(directory, flush=True)
