"""The page of a run on the command line: written, left out, written again, and its plots as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command_line import Command, Endpoint
from helpers.generated_runs import generated_run

QUIET = ("progress=none", "profile=fast", "prompts.pool_tokens=16384", "tokenizer_model=words", "duration=0.5")
MARKER = "sk-marker-4711"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return generated_run(tmp_path / "run", 400, slots=4, duration_s=60.0)


def test_a_run_writes_its_page_and_says_where(module: Command, tmp_path: Path) -> None:
    done = module(*QUIET, "hydra.run.dir=run")
    page = tmp_path / "run" / "report.html"
    assert f"report {page}" in done.stdout
    assert "<h1>sim on the embedded endpoint (simulated)</h1>" in page.read_text()


def test_a_run_leaves_its_page_out(module: Command, tmp_path: Path) -> None:
    done = module(*QUIET, "html=false", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_key_is_in_no_page_and_no_plot(
    module: Command, endpoint: Endpoint, workload_file: Path, tmp_path: Path
) -> None:
    where = (f"workload={workload_file}", f"endpoint={endpoint.url}")
    done = module(*QUIET, *where, f"api_key={MARKER}", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert set(endpoint.authorizations) == {f"Bearer {MARKER}"}
    assert module("report", "run", "--plots", "run/plots").returncode == 0
    pages = [*(tmp_path / "run").glob("*.html"), *(tmp_path / "run" / "plots").iterdir()]
    assert len(pages) > 10
    assert not [path for path in pages if MARKER.encode() in path.read_bytes()]


def test_report_writes_the_page_again_unless_told_not_to(module: Command, run: Path) -> None:
    assert module("report", "run", "--no-html").returncode == 0
    assert not (run / "report.html").exists()
    assert module("report", "run", "--json").returncode == 0
    assert (run / "report.html").is_file()


def test_plots_as_files(module: Command, run: Path) -> None:
    assert module("report", str(run), "--no-html", "--plots", "paper", "--format", "svg").returncode == 0
    names = {path.name for path in (run.parent / "paper").iterdir()}
    assert {"ttft.svg", "timeline.svg", "completion-throughput.svg"} <= names
    assert all(name.endswith(".svg") for name in names)


def test_plots_where_none_can_go_are_one_line(module: Command, run: Path) -> None:
    (run.parent / "file").touch()
    done = module("report", "run", "--plots", "file")
    assert (done.returncode, done.stderr) == (1, "trie: file: can't make the folder: File exists\n")


def test_a_page_that_cannot_be_written_leaves_the_numbers(module: Command, run: Path) -> None:
    (run / "report.html").mkdir()
    done = module("report", "run")
    assert done.returncode == 0
    assert done.stderr.startswith("trie: run/report.html: can't be written")
    assert "Per-trace metrics" in done.stdout
