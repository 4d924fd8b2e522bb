"""cluster=ray on the command line, as far as it goes without Ray."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers.command_line import in_this_process

from trie.config import ClusterConfig
from trie.errors import ConfigError


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
