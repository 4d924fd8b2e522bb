"""`trie init`: a repository for experiments, ready to run."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from trie.cli.arguments import Parser
from trie.errors import RunDirError

DOTTED = ("gitignore", "github")  # shipped without their dot, so that no tool takes them for the package's own
NEXT = """\
made {folder}: conf/ (experiment, sweep, workload, endpoint), workloads/, README.md, .gitignore, .github/
next:
  cd {folder}
  git init && git add . && git commit -m 'Experiments'
  trie -cd conf experiment=kv_cache                            on the embedded endpoint, 20 s
  trie -cd conf experiment=kv_cache endpoint=http://HOST/v1    against a server"""


def parser() -> Parser:
    """The command's arguments."""
    description = "Lay out a repository for experiments: conf/, a workload, README.md, .gitignore, a CI example."
    arguments = Parser(prog="trie init", description=description)
    arguments.add_argument("folder", type=Path, metavar="DIR", help="a folder that is empty or not there yet")
    return arguments


def main(arguments: list[str]) -> int:
    """Lay out the folder and say what to type next.

    Raises:
        TrieError: when the folder holds something, or can't be written.
    """
    folder: Path = parser().parse_args(arguments).folder
    lay_out(folder)
    print(NEXT.format(folder=folder))
    return 0


def lay_out(folder: Path) -> None:
    """Write the repository's files, all or none.

    Raises:
        RunDirError: when the folder holds more than .git, or can't be written.
    """
    refuse_full(folder)
    aside = folder / ".trie-init"
    try:
        with as_file(files("trie.cli") / "starter") as starter:
            shutil.copytree(starter, aside, ignore=shutil.ignore_patterns("__pycache__"))
        for path in sorted(aside.iterdir()):
            path.rename(folder / (f".{path.name}" if path.name in DOTTED else path.name))
        aside.rmdir()
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise RunDirError(f"{folder}: can't be written: {error.strerror or error}") from error


def refuse_full(folder: Path) -> None:
    """A new repository goes where nothing is; a fresh clone's .git is nothing.

    Raises:
        RunDirError: naming what is in the way.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name != ".git") if folder.exists() else []
    except OSError as error:
        raise RunDirError(f"{folder}: can't be a new repository: {error.strerror}") from error
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise RunDirError(f"{folder}: is not empty ({names[0]}{more}); give a folder that is empty or not there yet")
