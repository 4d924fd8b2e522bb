"""A run on the nodes of Ray's own cluster for tests. It lives in a process of its own: this one stays without Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.command_line import environment
from helpers.ray_nodes import QUIET, write_token
from helpers.run_process import Run, logging_server, run, write_workload

from trie.metrics.evaluate_run import evaluate

pytest.importorskip("ray")
pytestmark = pytest.mark.ray

# A head without room for workers, and two nodes with room for one each; a dead one is noticed within two seconds.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
from trie.cluster.ray_cluster import HEALTH

head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.2", "_system_config": HEALTH}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(wait=False, num_cpus=1, node_ip_address=f"127.0.0.{number}") for number in (3, 4)]
cluster.wait_for_nodes(120)
print(cluster.address, *(node.all_processes["raylet"][0].process.pid for node in nodes), flush=True)
sys.stdin.read()
cluster.shutdown()
"""
SETTINGS = ("workers=2", "concurrency=8", "seed=1", "client.priority=normal", "tokenizer_model=words")
COUNTED = ["worker_id", "session_id", "turn", "new_prompt_tokens", "usage_prompt_tokens", "usage_completion_tokens"]
END_S = 120.0  # longer than any run here takes to end


@dataclass(frozen=True)
class TwoNodes:
    """Where the head is, and the raylets of the nodes."""

    address: str
    raylets: list[int]
    env: dict[str, str]  # of whoever connects


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[TwoNodes]:
    write_token(tmp_path)
    with tempfile.TemporaryDirectory(prefix="trie-ray-", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        env = {**QUIET, "HOME": str(tmp_path), "RAY_TMPDIR": temporary}
        command = [sys.executable, "-c", CLUSTER]
        with subprocess.Popen(
            command, env=environment(**env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            address, *raylets = process.stdout.readline().split()
            yield TwoNodes(address, [int(raylet) for raylet in raylets], env)
            process.stdin.close()
            process.wait(END_S)


def counts(ended: Run) -> list[tuple[object, ...]]:
    rows = ended.rows().records().to_pandas()
    assert set(rows.outcome) == {"ok"}
    return sorted(rows[COUNTED].itertuples(index=False, name=None))


def test_a_run_over_two_nodes_has_the_counts_of_two_processes_and_one_node_is_killed(
    two_nodes: TwoNodes, tmp_path: Path
) -> None:
    over_nodes = ("cluster=ray", f"cluster.address={two_nodes.address}")
    with logging_server(tmp_path / "log") as url:
        settings = (f"endpoint={url}", *SETTINGS, write_workload(tmp_path))
        ended = []
        for name, place, env in (("nodes", over_nodes, two_nodes.env), ("processes", (), {})):
            directory = tmp_path / name
            with run(tmp_path, *settings, *place, "max_traces=40", directory=directory, **env) as started:
                output, errors = started.process.communicate(timeout=END_S)
            assert (started.process.returncode, errors) == (0, ""), output
            ended.append(counts(started))
        assert ended[0] == ended[1]
        assert len(ended[0]) == 80

        with run(tmp_path, *settings, *over_nodes, "duration=600", **two_nodes.env) as hit:
            hit.both_workers_have_rows()
            os.kill(two_nodes.raylets[1], signal.SIGKILL)
            assert hit.process.stdout is not None
            assert any("the others go on" in line for line in hit.process.stdout)
            until = hit.last_rows().max()
            hit.waits_for(lambda: hit.last_rows().max() > until + 0.5)
            hit.process.send_signal(signal.SIGINT)
            _, errors = hit.process.communicate(timeout=END_S)
        assert (hit.process.returncode, errors) == (130, "trie: interrupted\n")
    evaluated = evaluate(hit.rows())
    assert evaluated.manifest.end is not None
    [dead] = [worker for worker in evaluated.manifest.end.workers if worker.died]
    last_s = hit.last_rows()
    assert last_s[dead.worker_id] < (dead.wall_time_s or 0.0) < last_s[1 - dead.worker_id]
    assert "workers_lived" in [check.id for check in evaluated.summary.verdict if not check.ok]
    assert not evaluated.summary.valid
