"""What a run states about the git repository around it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from helpers.bounds import AtMost

from trie.storage import repository
from trie.storage.manifest import Repository
from trie.storage.typed_json import encode

IDENTITY = {"GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "e", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "e"}
OUTSIDE = Path("/run-of-no-repository")


def git(folder: Path, *arguments: str) -> str:
    env = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", "-C", str(folder), *arguments], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def dirty(state: Repository | None) -> bool | None:
    assert state is not None
    return state.dirty


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "home"
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "a.yaml").write_text("a: 1\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_commit_of_a_clean_repository_from_any_folder_in_it(home: Path) -> None:
    expected = Repository(commit=git(home, "rev-parse", "HEAD"), dirty=False)
    assert repository.state(home, OUTSIDE) == expected
    assert repository.state(home / "conf", OUTSIDE) == expected


def test_a_changed_and_a_new_file_make_it_dirty_and_an_ignored_one_does_not(home: Path) -> None:
    (home / ".git" / "info" / "exclude").write_text("*.log\n")
    (home / "x.log").touch()
    assert dirty(repository.state(home, OUTSIDE)) is False
    (home / "conf" / "b.yaml").touch()
    assert dirty(repository.state(home / "conf", OUTSIDE)) is True
    (home / "conf" / "b.yaml").unlink()
    (home / "conf" / "a.yaml").write_text("a: 2\n")
    assert dirty(repository.state(home / "conf", OUTSIDE)) is True


def test_runs_make_no_repository_dirty(home: Path) -> None:
    """Neither where runs land by default nor the run that asks, wherever it was told to go."""
    for folder in ("outputs/x", "multirun/y", "[mine]/base line"):
        (home / folder).mkdir(parents=True)
        (home / folder / "repository.json").touch()
    assert dirty(repository.state(home, home / "[mine]" / "base line")) is False
    assert dirty(repository.state(home, home / "other")) is True


def test_no_repository_and_no_git_are_none(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert repository.state(tmp_path, OUTSIDE) is None
    monkeypatch.setenv("PATH", "")
    assert repository.state(home, OUTSIDE) is None


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").touch()
    assert repository.state(tmp_path, OUTSIDE) == Repository(commit=None, dirty=True)


def test_variables_that_point_git_elsewhere_are_passed_over(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    commit = git(home, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert repository.state(home, OUTSIDE) == Repository(commit=commit, dirty=False)


def test_a_git_that_hangs_is_not_waited_for(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_most: AtMost
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(repository, "PATIENCE_S", 0.1)
    begin = time.monotonic()
    assert repository.state(home, OUTSIDE) is None
    assert time.monotonic() - begin < at_most(10)


def test_a_program_that_the_repository_names_is_not_started(home: Path, tmp_path: Path) -> None:
    """git would run core.fsmonitor of a repository that somebody else may have written."""
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    hook.chmod(0o755)
    git(home, "config", "core.fsmonitor", str(hook))
    assert repository.state(home, OUTSIDE) is not None
    assert not (tmp_path / "started").exists()


def test_no_address_of_a_remote_and_no_key_is_in_what_is_stated(home: Path) -> None:
    git(home, "remote", "add", "origin", "https://user:tok-123@host/x.git")
    assert set(encode(repository.state(home, OUTSIDE))) == {"commit", "dirty"}
    assert "OPENAI_API_KEY" not in repository._environment({"OPENAI_API_KEY": "sk", "HOME": "/h"})
