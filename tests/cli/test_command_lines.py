"""Command lines as typed, each in a process of its own and an empty folder."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.bounds import AtMost
from helpers.command_line import CONSOLE_SCRIPT, ROOT, Command, Endpoint, environment

from trie.cli.main import COMMANDS

MARKER = "sk-marker-4711"
FAST = ("profile=fast", "progress=none")


@contextmanager
def begun(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs beside the test and never outlives it."""
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_of(output: str) -> Path:
    """The last line of a run's output is its directory."""
    return Path(output.rstrip().splitlines()[-1])


def test_main_job_and_its_report_from_the_files(module: Command, tmp_path: Path) -> None:
    done = module("duration=1", "concurrency=2", "profile=fast")
    assert (done.returncode, done.stderr) == (0, "")
    run = run_of(done.stdout)
    assert run.parents[2] == tmp_path
    assert re.fullmatch(r"\d\d-\d\d-\d\d-\d{6}-sample-c2", run.name)
    assert re.search(r"^\[info \] starting benchmark concurrency=2 duration=1\.0 ", done.stdout, re.MULTILINE)
    assert "Steady State" in done.stdout
    assert "starting benchmark" in (run / "trie.log").read_text()
    names = {path.name for path in run.iterdir()}
    assert names == {
        ".hydra",
        "manifest.json",
        "population.parquet",
        "report.html",
        "requests",
        "summary.json",
        "trie.log",
    }

    written = (run / "summary.json").read_text()
    shown = module("report", str(run.relative_to(tmp_path)))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Latency (s)" in shown.stdout
    as_json = module("report", str(run), "--json")
    assert json.loads(as_json.stdout) == json.loads(written) == json.loads((run / "summary.json").read_text())


def test_flat_form_runs_and_the_key_reaches_the_server_alone(
    script: Command, endpoint: Endpoint, workload_file: Path, tmp_path: Path
) -> None:
    line = f"workload_path=./{workload_file.name} endpoint={endpoint.url} model=M tokenizer_model=words concurrency=2"
    done = script(*line.split(), "duration=0.5", "stream=True", "num_gpus=4", f"api_key={MARKER}")
    assert done.returncode == 0, done.stderr
    assert set(endpoint.authorizations) == {f"Bearer {MARKER}"}
    assert endpoint.models == {"M"}
    assert MARKER not in done.stdout + done.stderr
    assert_in_no_file(tmp_path)
    assert json.loads((run_of(done.stdout) / "manifest.json").read_text())["config"]["num_gpus"] == 4


def assert_in_no_file(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "hydra.yaml" for path in files)
    assert [path for path in files if MARKER.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_sweep_goes_on_after_a_failed_cell_and_skips_finished_ones(
    module: Command, endpoint: Endpoint, workload_file: Path, tmp_path: Path
) -> None:
    cells = ("-m", "concurrency=2,3", f"workload=./{workload_file.name}", f"endpoint={endpoint.url}", "duration=-1,0.5")
    done = module(*cells, "tokenizer_model=words", f"++api_key='{MARKER}'", *FAST)
    assert done.returncode == 1
    assert (
        len(re.findall(r"^\[error\] mine-c[23]-\w+: duration=-1\.0: must be above 0", done.stdout, re.MULTILINE)) == 2
    )
    assert "Traceback" not in done.stderr
    assert set(endpoint.authorizations) == {f"Bearer {MARKER}"}
    assert MARKER not in done.stdout + done.stderr
    assert_in_no_file(tmp_path)
    folders = {path.parent for path in tmp_path.glob("multirun/*/*/summary.json")}
    assert sorted(re.sub(r"-\w{8}$", "", folder.name) for folder in folders) == ["mine-c2", "mine-c3"]

    asked = len(endpoint.authorizations)
    again = module("-m", "concurrency=3,2", *cells[2:4], "duration=0.5", "tokenizer_model=words", "progress=rich")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before, skipped") == 2
    assert len(endpoint.authorizations) == asked


def test_key_of_the_environment_is_sent(module: Command, endpoint: Endpoint, workload_file: Path) -> None:
    line = (f"workload={workload_file}", f"endpoint={endpoint.url}", "tokenizer_model=words", "duration=0.5", *FAST)
    done = module(*line, "endpoint.api_key_env=MINE", "prompts.calibrate=false", MINE=MARKER)
    assert done.returncode == 0, done.stderr
    assert set(endpoint.authorizations) == {f"Bearer {MARKER}"}


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupted_run_reports_and_exits_130(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trie", "concurrency=2", "profile=fast", "duration=60", "progress=none"]
    with begun(command, tmp_path) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        assert any("starting benchmark" in line for line in lines)
        while not list(tmp_path.glob("outputs/*/*/requests/part-*")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "trie: interrupted\n")
    assert json.loads((run_of(output) / "manifest.json").read_text())["end"]["reason"] == "interrupted"
    assert (run_of(output) / "summary.json").is_file()


def test_strict_makes_an_invalid_run_exit_3(module: Command) -> None:
    faults = ("sim.fault_rate=0.5", "sim.faults=[http_500]", "max_retries=0", "prompts.calibrate=false")
    done = module("duration=0.5", *faults, *FAST, "strict=true")
    assert done.returncode == 3, done.stdout
    assert "INVALID" in done.stdout


def test_every_request_failed_exits_1_and_still_reports(module: Command) -> None:
    faults = ("sim.fault_rate=1", "sim.faults=[http_500]", "max_retries=0", "prompts.calibrate=false")
    done = module("duration=0.5", *faults, *FAST)
    assert done.returncode == 1
    assert "INVALID" in done.stdout
    assert done.stderr.startswith("trie: every request failed: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("duration=-1", "trie: duration=-1.0: must be above 0 (seconds)\n"),
        ("endpoint.base_url=host:80", "trie: endpoint.base_url=host:80: must be an http(s) URL\n"),
        ("workload=./nix.jsonl", "trie: nix.jsonl: no such file; workload= takes a name or the path of a JSONL file\n"),
    ],
)
def test_rule_broken_is_one_line_and_exit_1(module: Command, typed: str, message: str) -> None:
    done = module(typed)
    assert (done.returncode, done.stderr) == (1, message)


def test_mistake_in_a_setting_leaves_no_directory(module: Command, tmp_path: Path) -> None:
    assert module("duration=-1").returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_start_that_fails_leaves_no_directory(module: Command, tmp_path: Path) -> None:
    done = module("endpoint=http://127.0.0.1:9/v1", "hydra.run.dir=run")
    assert (done.returncode, (tmp_path / "run").exists()) == (1, False)


def test_directory_of_a_run_is_not_written_over(module: Command, tmp_path: Path) -> None:
    """Its .hydra/config.yaml is what repeats the run."""
    config = tmp_path / "mine" / ".hydra" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("duration: 1\n")
    done = module("hydra.run.dir=mine", "duration=2")
    assert (done.returncode, done.stderr) == (1, "trie: mine: holds a run already; choose another hydra.run.dir=\n")
    assert config.read_text() == "duration: 1\n"


def test_cell_that_is_being_measured_is_left_alone(module: Command, tmp_path: Path) -> None:
    """A second sweep must not take it for an unfinished one and move its rows away."""
    line = ("-m", "concurrency=2", "duration=1", "hydra.sweep.dir=s", "hydra.sweep.subdir=cell", *FAST)
    cell = tmp_path / "s" / "cell"
    (cell / "requests").mkdir(parents=True)
    with (cell / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = module(*line)
    assert done.returncode == 1
    assert f"[error] cell: {cell}: another process is measuring there" in done.stdout
    assert sorted(path.name for path in cell.iterdir()) == [".hydra", ".lock", "requests", "trie.log"]


def test_everything_is_shown_where_the_user_asks_for_it(module: Command) -> None:
    done = module("duration=-1", HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_bug_shows_its_traceback(tmp_path: Path) -> None:
    code = "import sys, trie.cli.hydra_app as t; t.validate = lambda cfg: {}['bug']\n" + CONSOLE_SCRIPT
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'bug'" in done.stderr


def test_experiment_that_undoes_a_typed_group_is_refused(module: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("concurrency: {value: 24}\nendpoint: {session_header: X-A}\n")
    for number in ("9", "8"):  # 8 is the default, too
        done = module("experiment=mine.yaml", f"concurrency={number}", "duration=1")
        assert done.returncode == 1
        assert "concurrency=... has no effect: the experiment sets concurrency.value itself" in done.stderr


def test_sim_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trie", "sim", "--port", "0", "profile=fast", "sim.model=mine"]
    with begun(command, tmp_path) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        listening = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+/v1) model=mine profile=fast\n", line)
        assert listening is not None, line
        with urllib.request.urlopen(f"{listening[1]}/models", timeout=5) as answer:
            assert json.load(answer)["data"][0]["id"] == "mine"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_config_help_info_and_version(script: Command) -> None:
    config = script("--cfg", "job", "concurrency=12")
    assert config.returncode == 0
    assert "concurrency:\n  value: 12\n" in config.stdout
    usage = script("--help")
    assert usage.returncode == 0
    assert "trie report RUN_DIR" in usage.stdout
    assert [name for name in COMMANDS if f"\n  trie {name} " not in usage.stdout] == []
    assert "Hydra" not in usage.stdout
    defaults = script("--info", "defaults")
    assert "concurrency/8" in defaults.stdout
    assert script("--version").stdout.startswith("trie ")


def test_help_of_a_setting_comes_from_its_declaration(script: Command) -> None:
    setting = script("help", "duration", "sim.faults")
    assert setting.stdout == (
        "duration=300.0  (float, above 0 (seconds))\n"
        "    time in which traces may start; then everything in flight is cancelled\n"
        "sim.faults=[]  (list of str, http_429, http_500, http_503, disconnect, reset, error_event, truncated, empty, "
        "stall, no_usage)\n"
        "    kinds of failure, in the order in which they come\n"
    )
    group = script("help", "endpoint.tls").stdout.splitlines()
    assert [line.partition("=")[0] for line in group if not line.startswith(" ")] == [
        "endpoint.tls.verify", "endpoint.tls.ca_file", "endpoint.tls.cert_file", "endpoint.tls.key_file",
    ]  # fmt: skip
    assert "strict=false  (bool, does not change the measurement)" in script("help").stdout


def test_flags_may_stand_between_settings(script: Command) -> None:
    done = script("duration=1", "-m", "concurrency=x,y")
    assert done.stderr.startswith("trie: concurrency=x: no such concurrency")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("trie concurrency=12 dura", "duration="),
        ("trie workload=age", "workload=agentic"),
        ("trie prof", "profile="),
        ("trie re", "report"),
        ("trie api_key=sk-1 dura", "duration="),
        ("trie sim profile=fau", "profile=faulty"),
        ("trie sim sim.pre", "sim.prefill_tok_s="),
        ("trie help sim.pre", "sim.prefill_tok_s"),
        ("trie report --js", "--json"),
        ("trie export run --format a", "aiperf"),
        ("trie probe workload=q", "workload=qa"),
        ("trie workload im", "import"),
        ("trie workload show age --js", "--json"),
        ("trie workload synthesize --like off", "office"),
    ],
)
def test_tab_completion(script: Command, line: str, offered: str) -> None:
    done = script("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert offered in done.stdout.split()


@pytest.mark.parametrize("line", ["trie foo=1 dura", "trie report out", "trie sim work"])
def test_tab_completion_is_silent_where_it_has_nothing_to_offer(script: Command, line: str) -> None:
    done = script("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_experiment_repositories_and_full_sweep(module: Command, tmp_path: Path) -> None:
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text('# @package _global_\ndefaults:\n  - override /concurrency: "24"\nduration: 9\n')
    own = module("-cd", "conf", "experiment=mine", "--cfg", "job")
    assert "value: 24" in own.stdout
    assert "duration: 9.0" in own.stdout
    won = module("-cd", "conf", "experiment=mine", "concurrency=3", "--cfg", "job")
    assert "value: 3" in won.stdout
    sweep = module("sweep=full", "--cfg", "hydra")
    assert "mode: MULTIRUN" in sweep.stdout
    assert "workload: agentic,qa,office" in sweep.stdout
    assert "concurrency: 8,16,24,32,40,48" in sweep.stdout


def test_composing_is_quick_and_loads_nothing_heavy(tmp_path: Path, at_most: AtMost) -> None:
    """CPU time, not wall time: the machine may be busy."""
    code = (
        "import atexit, sys, time\n"
        "heavy = {'transformers', 'pandas', 'pyarrow', 'aiohttp', 'rich', 'huggingface_hub', 'numpy'}\n"
        "atexit.register(lambda: print(heavy & set(sys.modules), time.process_time(), file=sys.stderr))\n"
        "sys.argv = ['trie', '--cfg', 'job', 'concurrency=12']\n"
    ) + CONSOLE_SCRIPT
    seconds = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
        )
        loaded, used = done.stderr.rsplit(maxsplit=1)
        assert loaded.startswith("set()")
        seconds.append(float(used))
    assert min(seconds) < at_most(0.6)


def test_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    line = f"{sys.executable} -m trie --help | head -1"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("trie: trace replay inference evaluation\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("behind", ["| head -1", ">&-"])
def test_a_run_goes_on_where_nobody_reads_what_it_prints(tmp_path: Path, behind: str) -> None:
    line = f"{sys.executable} -m trie duration=1 html=false hydra.run.dir=run {behind}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert (tmp_path / "run" / "summary.json").exists()


def test_conf_is_found_from_an_empty_folder_in_the_wheels_layout(tmp_path: Path) -> None:
    """In a wheel conf/ lies in the package."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "trie", site / "trie", ignore=shutil.ignore_patterns("__pycache__", "conf"))
    shutil.copytree(ROOT / "conf", site / "trie" / "conf")
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-m", "trie", "--info", "searchpath"]
    env = environment(PYTHONPATH=str(site))
    done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"file://{site}/trie/conf" in done.stdout
