"""docs/try-it.md as it is typed, on llama.cpp: the commands after pip's, with another port and folder."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from engine_setup.places import cache
from engine_setup.server import free_port
from helpers.command_line import ROOT, environment

pytestmark = pytest.mark.engine


def commands(title: str) -> list[str]:
    """The lines of the blocks of a chapter."""
    chapter = (ROOT / "docs" / "try-it.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"```\n(.*?)```", chapter, re.DOTALL)).splitlines()


def test_llama_cpp_as_typed(tmp_path: Path) -> None:
    """The page of the run is there, and the run is VALID or says in its verdict why not on this machine."""
    install, serve, *trie = commands("llama.cpp")
    assert install.startswith("python3 -m venv .venv && ")
    port = str(free_port())
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    typed = [line.replace("8080", port).replace("$HOME/.cache/trie-engines", str(cache())) for line in (serve, *trie)]
    typed = [line.replace(".venv/bin/trie", ".venv/bin/python -m trie") for line in typed]
    words = [[sys.executable, *shlex.split(line)[1:]] for line in typed]
    serving = subprocess.Popen(words[0], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        assert f"http://127.0.0.1:{port}/v1 model tiny, ready" in serving.stdout.readline()
        for line in words[1:]:
            command = [word.replace("duration=60", "duration=20") for word in line if word != "--open"]
            done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        serving.terminate()
        serving.wait(30)
        if serving.stdout is not None:
            serving.stdout.close()
    (page,) = tmp_path.glob("outputs/*/*/report.html")
    summary = json.loads((page.parent / "summary.json").read_text())
    assert summary["traces"]["completed"] > 0
    assert summary["requests"]["failed"] == 0
    assert abs(summary["drift"]["prompt_ratio"]) < 0.001
