"""A run as its files tell it: every number, and the page and the plots that show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from trie.rundir import REPORT, RunDir

if TYPE_CHECKING:
    from trie.metrics.columns import Columns
    from trie.metrics.summary import Summary
    from trie.report.page import Page


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A run whose rows were read once, for its numbers and its page."""

    run: RunDir
    manifest: Mapping[str, Any]
    columns: Columns
    summary: Summary

    @classmethod
    def of(cls, run: RunDir) -> Self:
        """Read a run and compute its numbers; nothing is written.

        Raises:
            RunDirError: when the run can't be read.
        """
        columns = run.columns()
        return cls(run, run.manifest(), columns, run.compute(columns))

    def page(self) -> Page:
        """The page of the run."""
        from trie.report.run_page import run_page  # noqa: PLC0415 - not for those who want numbers only

        return run_page(self.columns, self.summary, self.manifest)

    def write_page(self) -> Path:
        """Write the page into the run's directory.

        Raises:
            ReportError: when it can't be written.
        """
        path = self.run.path / REPORT
        self.page().write(path)
        return path

    def write_plots(self, folder: Path, ending: str) -> list[Path]:
        """Write each plot that shows anything as an SVG or a PNG of its own.

        Raises:
            ReportError: without vl-convert, or when they can't be written.
        """
        return self.page().save_plots(folder, ending)
