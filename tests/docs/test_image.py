"""The files of the image: what compose.yaml tells trie is what trie takes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from helpers.command_line import ROOT, in_this_process


def test_the_arguments_in_compose_yaml_make_a_config(tmp_path: Path) -> None:
    text = re.sub(r"\$\{MODEL:\?[^}]*\}", "some/model", (ROOT / "compose.yaml").read_text())
    service = yaml.safe_load(text)["services"]["trie"]
    assert service["entrypoint"][0] == "trie"
    done = in_this_process(tmp_path, "--cfg", "job", *service["entrypoint"][1:], *service["command"])
    config = yaml.safe_load(done.stdout)
    assert (config["model"], config["endpoint"]["base_url"]) == ("some/model", "http://vllm:8000/v1")
    assert config["wait_for_ready"] == 1800


def test_what_the_dockerfile_copies_is_sent_to_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for line in copied for name in line.split()} == sent
    assert all((ROOT / name).exists() for name in sent)
