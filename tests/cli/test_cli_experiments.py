"""Experiment repositories, and a run replayed from its own config."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.command_line import Command, Endpoint, Finished
from helpers.manifests import manifest
from hydra import compose, initialize_config_dir

from trie.cli import hydra_setup, main, rerun
from trie.cli.commands.init import lay_out
from trie.cli.typed_config import validate
from trie.config import RunConfig
from trie.config.shipped_groups import CONF
from trie.workload.load import load

SHA256 = "332425023d0f6a3e20cecb83ad86a388446fe3883665d32f3dd7a5835cb9ee93"  # of the bundled sample
RUN = manifest(
    server={"model": "org/M"}, prompts={"source": "tokenizer"}, workload={"sha256": SHA256}, prompt_seed=77
).to_json()
QUICK = ("progress=none", "prompts.pool_tokens=16384", "prompts.calibrate=false", "duration=0.5")


def composed(*overrides: str) -> RunConfig:
    with hydra_setup.extended(), initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


def run_dir(folder: Path, stated: dict[str, object], **config: object) -> Path:
    """A run directory with a config as the command line leaves it; returns the config's path."""
    file = folder / ".hydra" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump({"seed": None, "model": None, "tokenizer_model": None, **config}))
    (folder / "manifest.json").write_text(json.dumps(stated))
    return file


def test_what_a_run_chose_for_itself_is_pinned(tmp_path: Path) -> None:
    config = composed(f"experiment={run_dir(tmp_path, RUN)}")
    assert (config.seed, config.model, config.tokenizer_model) == (77, "org/M", "org/M")
    assert config.workload.sha256 == SHA256
    assert load(config.workload).name == "sample"


def test_the_command_line_beats_what_is_pinned(tmp_path: Path) -> None:
    file = run_dir(tmp_path, RUN)
    assert composed(f"experiment={file}", "seed=null").seed is None
    assert composed(f"experiment={file}", "model=other").model == "other"
    assert composed(f"experiment={file}", "workload.sha256=null").workload.sha256 is None


def test_what_the_config_says_itself_stays(tmp_path: Path) -> None:
    config = composed(f"experiment={run_dir(tmp_path, RUN, seed=5, tokenizer_model='mine')}")
    assert (config.seed, config.tokenizer_model) == (5, "mine")


def test_words_stay_words_and_the_embedded_endpoints_model_is_no_setting(tmp_path: Path) -> None:
    embedded = {**RUN, "server": {**RUN["server"], "embedded": True, "model": "sim"}, "prompts": {"source": "words"}}
    config = composed(f"experiment={run_dir(tmp_path, embedded)}")
    assert (config.model, config.tokenizer_model) == (None, "words")


def test_any_other_file_is_an_experiment_and_pins_nothing(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(RUN))
    file = tmp_path / "conf" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("duration: 4\n")
    assert rerun.load(str(file)) == {"duration": 4}


def test_a_damaged_manifest_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run_dir(tmp_path, RUN)
    (tmp_path / "manifest.json").write_text("{")
    assert main.run([f"experiment={file}"]) == 1
    text = capsys.readouterr().err
    assert "manifest.json: can't be read" in text
    assert len(text.splitlines()) == 1


def replayed(run: Path, again: Path) -> bool:
    """Whether two runs had the same settings, but for what the second one was told of the first one's choices."""
    first, second = (json.loads((path / "manifest.json").read_text()) for path in (run, again))
    workload = {**first["config"]["workload"], "sha256": first["workload"]["sha256"]}
    pinned = {"seed": first["seed"], "model": first["server"]["model"], "tokenizer_model": "words"}
    return bool(second["config"] == {**first["config"], **pinned, "workload": workload})


@pytest.mark.slow
def test_a_replay_sends_the_same_prompts_and_a_fresh_seed_others(
    module: Command, endpoint: Endpoint, workload_file: Path
) -> None:
    """One slot, so that requests come in order: byte by byte what the server got."""
    line = (f"workload=./{workload_file.name}", f"endpoint={endpoint.url}", "concurrency=1", *QUICK)
    run = Path(module(*line).stdout.rstrip().splitlines()[-1])
    first, endpoint.prompts = endpoint.prompts, []
    again = module(f"experiment={run}/.hydra/config.yaml")
    assert again.returncode == 0, again.stderr
    assert replayed(run, Path(again.stdout.rstrip().splitlines()[-1]))
    second, endpoint.prompts = endpoint.prompts, []
    common = min(len(first), len(second))
    assert common >= 5
    assert first[:common] == second[:common]

    assert module(f"experiment={run}/.hydra/config.yaml", "seed=null").returncode == 0
    assert endpoint.prompts[0] not in first

    hidden = module(f"experiment={run}/.hydra/config.yaml", "concurrency=3")
    assert hidden.returncode == 1
    assert "concurrency=... has no effect: the experiment sets concurrency.value itself" in hidden.stderr

    workload_file.write_text(workload_file.read_text() + workload_file.read_text())
    other = module(f"experiment={run}/.hydra/config.yaml")
    assert other.returncode == 1
    assert re.search(r"workload\.sha256=\w{64}: mine\.jsonl has \w{64}, so its traces are others", other.stderr)


def test_experiments_that_are_shipped_are_the_methodology_and_long_contexts() -> None:
    methodology = composed("experiment=applied_compute")
    assert (methodology.workload.name, methodology.duration) == ("agentic", 7200)
    long = composed("experiment=long_context")
    assert (long.workload.hub_file, long.workload.min_context_tokens) == ("agentic_coding_8k.jsonl", 32768)
    assert composed("experiment=long_context", "workload=office").workload.min_context_tokens == 32768


def laid_out(folder: Path, name: str = "mine") -> Path:
    lay_out(folder / name)
    return folder / name


def trie(folder: Path, *arguments: str) -> Finished:
    env = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    command = [sys.executable, "-m", "trie", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_new_repository_is_ready_to_run_and_states_its_commit(tmp_path: Path) -> None:
    home = laid_out(tmp_path)
    identity = ("-c", "user.name=n", "-c", "user.email=e")
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=home, check=True)
    done = trie(home, "-cd", "conf", "experiment=kv_cache", "duration=1", "progress=none", "hydra.run.dir=baseline")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((home / "baseline" / "manifest.json").read_text())
    assert manifest["workload"]["name"] == "tickets"
    assert manifest["config"]["concurrency"]["value"] == 4
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=home, capture_output=True, text=True, check=True)
    assert manifest["repository"] == {"commit": head.stdout.strip(), "dirty": False}


def test_every_command_of_its_readme_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = laid_out(tmp_path)
    monkeypatch.chdir(home)
    lines = re.findall(r"^    trie -cd conf (.*)$", (home / "README.md").read_text(), flags=re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        settings = [argument for argument in line.split() if "=" in argument]
        config = composed(*settings, f"hydra.searchpath=[file://{home}/conf]")
        assert len(load(config.workload).traces) == 32


@pytest.mark.parametrize("clone", [False, True])
def test_init_takes_an_empty_folder_and_an_empty_clone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], clone: bool
) -> None:
    if clone:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert main.run(["init", str(tmp_path)]) == 0
    assert "trie -cd conf experiment=kv_cache" in capsys.readouterr().out
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {
        ".gitignore", "README.md", "gate.yaml", ".github/workflows/gate.yaml", "conf/experiment/kv_cache.yaml",
        "conf/sweep/load.yaml", "conf/workload/tickets.yaml", "conf/endpoint/server.yaml", "workloads/tickets.jsonl",
    } == {path for path in found if not path.startswith(".git/")}  # fmt: skip


def test_init_refuses_a_folder_that_holds_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert main.run(["init", str(tmp_path)]) == 1
    message = f"trie: {tmp_path}: is not empty (thesis.tex); give a folder that is empty or not there yet\n"
    assert capsys.readouterr().err == message
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_init_where_nothing_can_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["init", "/dev/null/x"]) == 1
    assert capsys.readouterr().err == "trie: /dev/null/x: can't be written: Not a directory\n"
