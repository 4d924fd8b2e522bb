"""A run's own config as an experiment: what the run found by itself is pinned, so that its prompts come again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trie.rundir import MANIFEST, RunDir

HYDRA = ".hydra"  # folder of a run directory in which its config lies


def load(path: str) -> Any:
    """An experiment's file; where it is the config of a run, with the run's seed, model, words and workload.

    A setting that the file itself holds stays as it is, and the command line beats both: `seed=null` draws a fresh
    seed.

    Raises:
        OSError: when it can't be read.
        RunDirError: when the run's manifest is no JSON.
    """
    config = OmegaConf.load(path)
    folder = Path(path).absolute().parent
    if isinstance(config, DictConfig) and folder.name == HYDRA and (folder.parent / MANIFEST).is_file():
        _pin(config, RunDir(folder.parent).manifest())
    return config


def _pin(config: DictConfig, manifest: dict[str, Any]) -> None:
    """Write what the run chose for itself where its config left the choice open."""
    words = "words" if manifest["prompts"]["source"] == "words" else manifest["server"]["model"]
    found = {
        "seed": manifest["seed"],
        "model": None if manifest["server"]["embedded"] else manifest["server"]["model"],
        "tokenizer_model": words,
        "workload.sha256": manifest["workload"]["sha256"],
    }
    for key, value in found.items():
        if OmegaConf.select(config, key) is None:
            OmegaConf.update(config, key, value)
