"""The files for clusters: what they say is valid, and what they tell trie and Ray is what those take."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from helpers.command_line import ROOT, in_this_process

DEPLOY = ROOT / "deploy"
RAYJOB, CLAIM = yaml.safe_load_all((DEPLOY / "rayjob.yaml").read_text())
CLUSTER = RAYJOB["spec"]["rayClusterSpec"]


def of_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.32", strict=True)


def test_the_manifest_is_a_rayjob_and_a_claim() -> None:
    schema = json.loads(Path(__file__).with_name("rayjob.schema.json").read_text())
    jsonschema.validate(RAYJOB, schema)
    of_kubernetes(CLAIM)


@pytest.mark.parametrize("group", [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]])
def test_its_pods_are_pods(group: dict[str, Any]) -> None:
    of_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]})


def test_its_command_makes_a_config_with_a_worker_for_each_pod(tmp_path: Path) -> None:
    program, *arguments = shlex.split(RAYJOB["spec"]["entrypoint"])
    done = in_this_process(tmp_path, "--cfg", "job", *arguments)
    config = yaml.safe_load(done.stdout)
    assert program == "trie"
    assert config["cluster"]["placement"] == "ray"
    assert int(config["workers"]) == CLUSTER["workerGroupSpecs"][0]["replicas"]


def test_the_image_has_the_version_of_ray_that_the_manifest_names() -> None:
    assert f"FROM rayproject/ray:{CLUSTER['rayVersion']}-" in (DEPLOY / "Dockerfile").read_text()


@pytest.mark.parametrize("script", ["ray-hosts.sh", "slurm.sbatch"])
def test_scripts_have_no_finding(script: str) -> None:
    checker = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checker, DEPLOY / script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def commands_of(script: str, *arguments: str, folder: Path, **environment: str) -> list[list[str]]:
    """What a script calls, where every program of a cluster only notes its arguments."""
    notes = folder / "notes"
    (folder / ".ray").mkdir(exist_ok=True)
    (folder / ".ray" / "auth_token").write_text("token")
    for name in ("ray", "ssh", "srun"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>{shlex.quote(str(notes))}\n')
        program.chmod(0o755)
    (folder / "scontrol").write_text("#!/bin/sh\nprintf 'node1\\nnode2\\n'\n")
    (folder / "scontrol").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", DEPLOY / script, *arguments], check=True, timeout=20,
        env={**os.environ, "PATH": path, "HOME": str(folder), **environment},
    )  # fmt: skip
    return [line.split() for line in notes.read_text().splitlines()]


def test_hosts_join_the_head_and_are_stopped_before_it(tmp_path: Path) -> None:
    started = commands_of("ray-hosts.sh", "start", "a", "b", folder=tmp_path, ADDRESS="192.0.2.1")
    assert started[0] == ["ray", "get-auth-token", "--generate"]
    assert started[1][:3] == ["ray", "start", "--head"]
    joins = [call[4:] for call in started if call[0] == "ssh" and "start" in call]
    assert [call[1] for call in started if call[0] == "ssh"] == ["a", "a", "b", "b"]
    assert joins == [["ray", "start", "--address=192.0.2.1:6379", "--num-cpus=2"]] * 2
    (tmp_path / "notes").unlink()
    stopped = commands_of("ray-hosts.sh", "stop", "a", "b", folder=tmp_path)
    assert stopped == [["ssh", "a", "ray", "stop"], ["ssh", "b", "ray", "stop"], ["ray", "stop"]]


def test_slurm_runs_trie_with_a_worker_for_each_place_and_no_key_in_an_argument(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-secret\n")
    *_, call = commands_of(
        "slurm.sbatch", "concurrency=16", folder=tmp_path, SLURM_JOB_NODELIST="node[1-2]", SLURM_JOB_ID="7",
        SLURM_NNODES="2", WORKERS_PER_NODE="3", TRIE_KEY_FILE=str(tmp_path / "key"),
    )  # fmt: skip
    launcher, trie = call[: call.index("--")], call[call.index("--") + 1 :]
    assert launcher[3:8] == ["ray", "symmetric-run", "--address", "node1:20007", "--min-nodes"]
    assert trie == ["trie", "cluster=ray", "workers=6", "concurrency=16"]
    assert "sk-secret" not in " ".join(call)
