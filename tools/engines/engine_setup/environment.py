"""Virtual environments of engines: each its own, never that of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engine_setup.places import SetupError, built

INSTALL_TIMEOUT_S = 900.0


def python() -> str:
    """Python 3.11 where there is one, as what was verified; else the one that runs this."""
    return shutil.which("python3.11") or sys.executable


def run(*command: str | Path, timeout_s: float = INSTALL_TIMEOUT_S) -> str:
    """What a command prints.

    Raises:
        SetupError: with its last words, when it fails or takes too long.
    """
    # The versions that CI holds the project to are not the engines'.
    env = {key: value for key, value in os.environ.items() if key not in {"PIP_CONSTRAINT", "PYTHONPATH"}}
    try:
        done = subprocess.run(
            [*map(str, command)], capture_output=True, text=True, timeout=timeout_s, env=env, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise SetupError(f"{' '.join(map(str, command[:6]))} ...: {' | '.join(said)}")
    return done.stdout


def pip(folder: Path, *words: str | Path) -> str:
    """Run pip of a virtual environment.

    Raises:
        SetupError: when pip fails.
    """
    return run(folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *words)


def environment(name: str, requirements: Sequence[str], extra: Callable[[Path], None] | None = None) -> Path:
    """A virtual environment with these requirements, and with whatever `extra` does to it before and beside them.

    Raises:
        SetupError: when it can't be made.
    """

    def build(folder: Path) -> None:
        run(python(), "-m", "venv", folder)
        if extra is not None:
            extra(folder)
        if requirements:
            pip(folder, "install", "-q", *requirements)

    return built("environments", name, "\n".join([python(), *requirements]), build)


def site_packages(folder: Path) -> Path:
    """Where the packages of a virtual environment lie."""
    (found,) = folder.glob("lib/python3.*/site-packages")
    return found
