"""Finished runs and sweeps for scripts and notebooks: `trie.load(directory)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from trie.compare.comparison import Comparison, compare
from trie.compare.differences import Settings
from trie.compare.page import page as comparison_page
from trie.compare.terminal import render as render_comparison
from trie.metrics.evaluate_run import EvaluatedRun, evaluate
from trie.metrics.summary import Summary
from trie.report.html.document import Page
from trie.report.html.plot import Plot
from trie.report.page import page_of
from trie.report.terminal import render
from trie.storage import sweep_dir
from trie.storage.manifest import Manifest
from trie.storage.run_dir import RunDir
from trie.sweep.page import page as sweep_page
from trie.sweep.table import rows as sweep_rows
from trie.sweep.terminal import show_headline

if TYPE_CHECKING:
    import pandas as pd

FRAME = '<iframe srcdoc="{}" style="width: 100%; height: {}px; border: 0" sandbox="allow-scripts"></iframe>'


def load(directory: Path | str) -> LoadedRun | LoadedSweep:
    """A run or a sweep from its directory; nothing is written.

    Raises:
        RunDirError: when it is neither, or can't be read.
    """
    path = Path(directory)
    return LoadedSweep(path) if sweep_dir.is_sweep(path) else LoadedRun(RunDir.open(path).path)


@dataclass(frozen=True, repr=False)
class LoadedRun:
    """A run; its files are read once, when the first of its numbers is asked for."""

    directory: Path

    def __repr__(self) -> str:
        return f"trie.load({str(self.directory)!r}): {self.summary!r}"

    @cached_property
    def _run(self) -> EvaluatedRun:
        return evaluate(RunDir.open(self.directory))

    @property
    def summary(self) -> Summary:
        """Every number, from the rows."""
        return self._run.summary

    @property
    def manifest(self) -> Manifest:
        """What was run."""
        return self._run.manifest

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row for each request that started: the columns of docs/records.md, `suspect`, and its times.

        `ttft_s`, `tpot_s` and `latency_s` are those of requests that ended well, as docs/metrics.md defines them.
        Counts that may be missing are Int64, with `<NA>` for what was not reported.
        """
        return self._run.frame()

    @cached_property
    def traces(self) -> pd.DataFrame:
        """One row for each trace that started: what became of it, and its metrics where it completed."""
        return self._run.trace_frame()

    @cached_property
    def plots(self) -> Plots:
        """The plots of the report by name; one that ends a cell of a notebook shows itself."""
        return Plots(page_of(self._run))

    def compare(self, other: LoadedRun | LoadedSweep | Path | str) -> LoadedComparison:
        """The differences of another run from this one."""
        return _compared(self.directory, other)

    def show(self, console: Console | None = None) -> None:
        """Print the tables and the verdict."""
        render(self.summary, self.manifest, console or Console())


@dataclass(frozen=True, repr=False)
class LoadedSweep:
    """A sweep; its files are read once, when they are asked for."""

    directory: Path

    def __repr__(self) -> str:
        return f"trie.load({str(self.directory)!r}): a sweep with {len(self.runs)} runs"

    @cached_property
    def _cells(self) -> list[sweep_dir.Cell]:
        return sweep_dir.find(self.directory)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row for each cell, as sweep.parquet has them; cells that came to nothing have a status and no numbers."""
        import pandas as pd  # heavy

        return pd.DataFrame(sweep_rows(self._cells))

    @cached_property
    def runs(self) -> Mapping[str, LoadedRun]:
        """The cells that were measured, by the names of their directories."""
        done = (cell.path for cell in self._cells if cell.status is sweep_dir.Status.done)
        return {path.name: LoadedRun(path) for path in done}

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The requests of all runs, with the name of the `cell` in front."""
        return _together({name: run.rows for name, run in self.runs.items()})

    @cached_property
    def traces(self) -> pd.DataFrame:
        """The traces of all runs, with the name of the `cell` in front."""
        return _together({name: run.traces for name, run in self.runs.items()})

    @cached_property
    def plots(self) -> Plots:
        """The plots of the sweep's report by name."""
        return Plots(sweep_page(self.directory, sweep_rows(self._cells)))

    def compare(self, other: LoadedRun | LoadedSweep | Path | str) -> LoadedComparison:
        """The differences of another sweep from this one, cell by cell."""
        return _compared(self.directory, other)

    def show(self, console: Console | None = None) -> None:
        """Print the headline numbers of all cells."""
        show_headline(sweep_rows(self._cells), console or Console())


def _together(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd  # as above

    named = [frame.assign(cell=name) for name, frame in frames.items()]
    if not named:
        return pd.DataFrame({"cell": []})
    whole = pd.concat(named, ignore_index=True)
    return whole[["cell", *(column for column in whole.columns if column != "cell")]]


@dataclass(frozen=True, repr=False)
class LoadedComparison:
    """Two runs or sweeps side by side; shows itself as the page of `trie compare --html` in a notebook."""

    comparison: Comparison

    def __repr__(self) -> str:
        return f"comparison of {' and '.join(map(str, self.comparison.inputs.values()))}"

    def _repr_html_(self) -> str:
        return _framed(comparison_page(self.comparison), 640)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """A row for each number: baseline, candidate, change, its interval, and a word (docs/compare.md)."""
        import pandas as pd  # as above

        content = self.to_json()["cells"]
        return pd.DataFrame(
            {"cell": cell["cell"], "candidate_label": pair["candidate"]["label"], "metric": key, **difference}
            for cell in content
            for pair in cell["pairs"]
            for key, difference in pair["metrics"].items()
        )

    def to_json(self) -> dict[str, Any]:
        """What `trie compare --json` prints."""
        return self.comparison.to_json()

    def show(self, console: Console | None = None) -> None:
        """Print what `trie compare` prints."""
        render_comparison(self.comparison, console or Console())


def _compared(directory: Path, other: LoadedRun | LoadedSweep | Path | str) -> LoadedComparison:
    candidate = other.directory if isinstance(other, LoadedRun | LoadedSweep) else Path(other)
    return LoadedComparison(compare([directory, candidate], Settings()))


class Plots(Mapping[str, "LoadedPlot"]):
    """The plots of a page by name, those alone that show something."""

    def __init__(self, page: Page) -> None:
        self._plots = {plot.key: LoadedPlot(plot) for plot in page.plots() if not plot.empty}

    def __getitem__(self, name: str) -> LoadedPlot:
        if name not in self._plots:
            raise KeyError(f"{name}: no such plot; there are {', '.join(self._plots)}")
        return self._plots[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plots)

    def __len__(self) -> int:
        return len(self._plots)

    def __repr__(self) -> str:
        return f"plots {', '.join(self._plots)}"


@dataclass(frozen=True, repr=False)
class LoadedPlot:
    """A plot that a notebook shows: as SVG with vl-convert, else in a frame with its own script."""

    plot: Plot

    def __repr__(self) -> str:
        return f"plot {self.plot.key}: {self.plot.title}"

    def _repr_svg_(self) -> str | None:
        return self.plot.svg() if _vl_convert_is_there() else None

    def _repr_html_(self) -> str | None:
        return None if _vl_convert_is_there() else _framed(Page(title=self.plot.title, blocks=[self.plot]), 460)

    def vega_lite(self) -> dict[str, Any]:
        """The Vega-Lite spec, data included, for any other tool that reads it."""
        return self.plot.vega_lite()

    def save(self, path: Path | str) -> None:
        """Write it as .svg or .png, which takes `pip install 'trie[plots]'`."""
        self.plot.save(Path(path))


def _vl_convert_is_there() -> bool:
    from importlib.util import find_spec

    return find_spec("vl_convert") is not None


def _framed(page: Page, height: int) -> str:
    """A page in a frame: a notebook's own styles and scripts stay out of it."""
    return FRAME.format(escape(page.html()), height)
