"""Reports and comparisons as Markdown."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from helpers.command_line import in_this_process
from helpers.known_servers import Server, written
from helpers.rows import row
from helpers.run_directories import written_run

from trie.report.markdown import literal


def test_what_others_wrote_is_itself() -> None:
    assert literal("a|b `c` <d> @e *f*\n") == (
        "a&#124;b &#96;c&#96; &lt;d&gt; &#64;e &#42;f&#42;?"  # no table, no code, no tag, nobody mentioned
    )


def test_a_run(tmp_path: Path) -> None:
    """TTFT by hand: 10 requests of 0.5 s, so that p50 is shown and p99 is not."""
    rows = [row(session, sent=2.0 * session) for session in range(10)]
    written_run(tmp_path / "r", rows, workload={"name": "w|1"})
    lines = in_this_process(tmp_path, "report", "r", "--markdown", "--no-html").stdout.splitlines()
    assert lines[0].startswith("### w&#124;1, concurrency 8: ")
    assert "| Request TTFT p50 | 500.00 ms | - | 10 |" in lines
    assert "| Request TTFT (ms) | 500.00 | 500.00 | - | - | 10 |" in lines
    assert any(line.startswith("- **warning**: ") for line in lines)


def test_a_comparison_and_a_sweep(tmp_path: Path) -> None:
    for name, server in {"a": None, "b": Server(step_s=0.02)}.items():
        written(tmp_path / name / "w-c8-1", server, wall_s=40.0)
        (tmp_path / name / "multirun.yaml").touch()
    trie = partial(in_this_process, tmp_path)
    gates = ("--fail-if", "decode_tps.mean < -10%", "--fail-if", "ttft_s.mean > +500%", "--resamples", "100")
    done = trie("compare", "a", "b", "--markdown", *gates)
    assert done.returncode == 4
    assert done.stdout.startswith("### Comparison with a: 1 of 2 gates failed\n")
    assert "- gate **failed**: decode&#95;tps.mean &lt; -10%" in done.stdout
    assert "| Decode TPS mean (tok/s) |" in done.stdout
    sweep = trie("report", "a", "--markdown").stdout
    assert sweep.startswith("### Sweep a: 1 of 1 cells done\n")
    assert "| w-c8-1 | " in sweep
