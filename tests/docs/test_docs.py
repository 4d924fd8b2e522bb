"""Documents are true: commands in them run, generated pages are up to date, and CI runs what the README says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import in_this_process

from trie.workload.row import parse_trace

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_generated_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_ci_runs_the_readmes_test_command() -> None:
    (command,) = re.findall(r"```\n(python3 -m venv .*pytest)\n```", README)
    assert command in (ROOT / ".ci" / "run").read_text()
    assert command in (ROOT / "CONTRIBUTING.md").read_text()


def test_the_readmes_trace_is_one() -> None:
    (row,) = re.findall(r"```json\n(.*)\n```", README)
    assert parse_trace(json.loads(row), where="README").num_turns == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        headings = [heading.lower() for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
        assert anchor in {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}, (
            f"{target}#{anchor}"
        )


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_begins_with_a_sentence(page: Path) -> None:
    """It says what the page answers, before any list, table or command."""
    title, opening = page.read_text().split("\n\n")[:2]
    assert title.startswith("# ")
    assert re.match(r"\w.*?[.:]", opening, re.DOTALL), opening


def test_commands_compose(tmp_path: Path) -> None:
    """Every `trie key=value ...` of the documents names groups, options and keys that exist."""
    commands = re.findall(r"^trie ((?:[\w.]+=\S+ ?|\\\n\s+)+)", README, flags=re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        arguments = command.replace("\\\n", " ").split()
        done = in_this_process(tmp_path, *arguments, "--cfg", "job")
        assert done.returncode == 0, done.stderr
