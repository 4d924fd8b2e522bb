"""A comparison on a terminal, on a page, and as the command line gives it."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.known_servers import Server, written
from rich.console import Console

from trie.cli import main
from trie.compare.comparison import Comparison, compare
from trie.compare.differences import Settings
from trie.compare.format import change_of, interval_of, number
from trie.compare.gates import parse
from trie.compare.page import page, verdict
from trie.compare.terminal import render

QUICK = Settings(resamples=100)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [written(tmp_path / "a"), written(tmp_path / "b", Server(step_s=0.0125, noise=0.06), num_gpus=2)]


def shown(comparison: Comparison, width: int, *, everything: bool = False) -> str:
    out = io.StringIO()
    render(comparison, Console(file=out, width=width, color_system=None), everything=everything)
    return out.getvalue()


def test_tables_say_what_is_worse_and_what_is_noise(runs: list[Path]) -> None:
    text = shown(compare(runs, QUICK, [parse("decode_tps.mean < -10%")]), 120)
    assert "setting: num_gpus: null -> 2" in text
    speed = next(line for line in text.splitlines() if line.startswith("Decode TPS (tok/s)"))
    assert speed.split()[3:] == ["mean", *speed.split()[4:9], "to", speed.split()[-3], "%", "lower"]
    assert "within noise" in text
    assert "gate FAILED: decode_tps.mean < -10% (B: -19.9%, beyond the limit by more than noise in this pair)" in text
    assert "intervals: 95%, of what varies within a run, 60 traces compared one by one; one run a side" in text
    assert "differences under these shares can't be seen with these runs (found in fewer than 4 of 5): " in text


@pytest.mark.parametrize("everything", [False, True])
def test_tables_fit_80_columns(runs: list[Path], everything: bool) -> None:
    text = shown(compare(runs, QUICK), 80, everything=everything)
    tables = [line for line in text.splitlines() if line.rstrip().endswith(("higher", "lower", "noise")) or "─" in line]
    assert len(tables) > 10
    assert max(map(len, tables)) <= 80


def test_what_others_wrote_steers_no_terminal_and_is_no_markup(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b")
    manifest = json.loads((b / "manifest.json").read_text())
    manifest["server"]["model"] = "\x1b[31m[bold]<script>alert(1)</script>"
    (b / "manifest.json").write_text(json.dumps(manifest))
    comparison = compare([a, b], QUICK)
    assert "\x1b" not in shown(comparison, 100)
    assert "model ?[31m[bold]<script>" in shown(comparison, 100)
    assert "<script>alert" not in page(comparison).html()


def test_figures_keep_four_digits_that_count() -> None:
    assert [number(value) for value in (None, 0, 3.0, 0.0263812, 1234.5, -0.5)] == [
        "-", "0", "3.000", "0.02638", "1,234", "-0.5000",
    ]  # fmt: skip


def test_a_change_from_0_is_shown_in_the_unit(runs: list[Path]) -> None:
    found = {difference.of.key: difference for difference in compare(runs, QUICK).pairs[0].differences}
    share = found["cache.turn0_hit_share"]
    assert (change_of(share), interval_of(share)) == ("0", "0 to 0")


class Tables(HTMLParser):
    """Captions and cells of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.captions: list[str] = []
        self.rows: list[list[str]] = []
        self._in: str | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._in = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self._in == "caption":
            self.captions.append(data)
        if self._in in ("td", "th") and self.rows:
            self.rows[-1][-1] += data


def test_the_page_holds_every_number_and_asks_the_network_for_nothing(runs: list[Path]) -> None:
    comparison = compare(runs, QUICK, [parse("retries > 0")])
    html = page(comparison).html()
    tables = Tables()
    tables.feed(html)
    assert {"Runs", "Settings", "Per-trace metrics", "Workload metrics", "Per-request metrics", "The run"} <= set(
        tables.captions
    )
    speed = next(row for row in tables.rows if row[0] == "Decode TPS (tok/s) mean")
    assert speed[-2:] == ["higher", "lower"]
    assert "PASSED" in html
    assert 'src="http' not in html
    assert len(html) < 2_000_000


def test_a_page_has_one_forest_and_one_table_for_all_candidates(runs: list[Path], tmp_path: Path) -> None:
    runs.append(written(tmp_path / "c", Server(step_s=0.015), num_gpus=2))
    found = page(compare(runs, QUICK))
    assert found.title == "num_gpus 2 against null"
    assert found.subtitle == "b, c against a"
    plots = {plot.key: plot for plot in found.plots()}
    changes = plots["changes"].data["rows"]
    assert list(dict.fromkeys(changes["candidate"])) == ["b", "c"]
    assert list(changes["metric"]).count("Decode TPS mean (tok/s)") == 2
    assert (
        set(plots["throughput"].data["rows"]["run"]) == set(plots["decode-tps"].data["rows"]["run"]) == {"a", "b", "c"}
    )
    assert set(plots["hero"].data["points"]["curve"]) == {"a", "b", "c"}
    tables = Tables()
    tables.feed(found.html())
    assert tables.captions.count("Headlines") == tables.captions.count("Per-trace metrics") == 1
    heads = next(row for row in tables.rows if row[:2] == ["Metric", "Better"])
    assert heads[2:] == ["a", "b", "Change", "Interval", "Verdict", "c", "Change", "Interval", "Verdict"]


def test_the_verdict_counts_headlines_and_doubts_name_the_run(runs: list[Path], tmp_path: Path) -> None:
    short = written(tmp_path / "short", wall_s=20.0)
    found = verdict(compare([runs[0], short], QUICK), {"A": "old", "B": "new"})
    assert re.match(r"(\d+|none) of \d+ headlines ", found.detail)
    invalid = [check for check in found.checks if "invalid" in check.name]
    assert all(check.name in ("new invalid", "old invalid") for check in invalid)
    assert not any("candidate" in f"{check.name}{check.found}" for check in found.checks)


def test_labels_are_given_or_directories(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["compare", *map(str, runs), "--html", str(tmp_path / "c.html")]
    assert main.run([*line, "--label", "yesterday", "--label", "today"]) == 0
    html = (tmp_path / "c.html").read_text()
    assert "today against yesterday" in html
    assert main.run([*line, "--label", "one"]) == 1
    assert "--label one: one for each of the 2 sides, none twice" in capsys.readouterr().err
    apart = [written(tmp_path / side / "run") for side in ("x", "y")]
    assert page(compare(apart, QUICK)).subtitle == "y/run against x/run"


def test_a_sweeps_page_has_a_curve_and_a_table_for_each_headline(tmp_path: Path) -> None:
    for name in "ab":
        written(tmp_path / name / "w-c8-11111111", wall_s=40.0)
        (tmp_path / name / "multirun.yaml").touch()
    found = page(compare([tmp_path / "a", tmp_path / "b"], QUICK))
    keys = [plot.key for plot in found.plots()]
    assert "workload-completion-tok-s-steady-state" in keys
    assert "per-trace-ttft-s-p50" in keys
    assert keys[0] == "hero"
    assert len(keys) == len(set(keys))


def test_the_command_exits_with_4_when_a_gate_fails(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["compare", *map(str, runs), "--resamples", "100"]
    assert main.run([*line, "--fail-if", "latency_s.mean > +50%"]) == 0
    assert main.run([*line, "--fail-if", "latency_s.mean > +10%", "--html", str(tmp_path / "c.html")]) == 4
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")
    capsys.readouterr()
    assert main.run([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"schema_version", "inputs", "bootstrap", "intervals", "cells", "passed_over", "failed"}
    (pair,) = found["cells"][0]["pairs"]
    speed = pair["metrics"]["per_trace.decode_tps.mean"]
    assert (speed["unit"], speed["better"], speed["verdict"]) == ("tok/s", "higher", "lower")
    assert speed["speaks_for"] == "worse"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--fail-if", "ttft.p99 > 1"], "ttft.p99: no such metric; did you mean"),
        (["--fail-if", "nonsense"], "must be a metric, one of"),
        (["--resamples", "9"], "--resamples 9: must be 100 or more"),
        (["--confidence", "95"], "--confidence 95.0: must be between 0 and 1"),
        (["--margin", "2"], "--margin 2: must be above 0 and below 100%, such as 2%"),
        (["--html", "/dev/null/x.html"], "/dev/null/x.html: can't be written"),
        (["nix"], "nix: no such directory"),
    ],
)
def test_a_mistake_is_one_line(
    runs: list[Path], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["compare", *map(str, runs), *more]) == 1
    text = capsys.readouterr().err
    assert said in text
    assert len(text.splitlines()) == 1


def test_one_run_has_nothing_to_be_compared_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["compare", "a"]) == 1
    assert "a: nothing to compare with" in capsys.readouterr().err
