"""cluster=ray on the command line, as far as it goes without Ray."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.command_line import in_this_process

from trie.cluster.ray_cluster import check_host
from trie.cluster.remote_worker import this_host
from trie.config import ClusterConfig
from trie.errors import ConfigError, WorkerError


def test_without_ray_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = in_this_process(tmp_path, "cluster=ray", "duration=1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == 'trie: cluster=ray: Ray is not installed; pip install "trie[ray]"'
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1:6379", "head.example:6379", "[::1]:6379"])
def test_addresses_of_clusters(address: str) -> None:
    assert ClusterConfig(address=address).address == address


@pytest.mark.parametrize("address", ["", "head", "ray://head:10001", "user@head:6379", "head:port"])
def test_what_is_no_address_of_a_cluster(address: str) -> None:
    with pytest.raises(ConfigError, match="auto, local, or HOST:PORT"):
        ClusterConfig(address=address)


def test_a_node_that_would_look_for_the_server_on_itself_is_refused() -> None:
    here, url = this_host(), "http://127.0.0.1:8000/v1"
    check_host(here, [url])
    elsewhere = replace(here, node="node1", machine="another")
    check_host(elsewhere, ["http://host:8000/v1"])
    with pytest.raises(WorkerError, match=r"^node1 can't reach http://127\.0\.0\.1:8000/v1"):
        check_host(elsewhere, [url])


def test_a_node_with_another_version_is_refused() -> None:
    with pytest.raises(WorkerError, match=r"^node1 has trie 0\.0\.9, this machine "):
        check_host(replace(this_host(), node="node1", trie_version="0.0.9"), [])
