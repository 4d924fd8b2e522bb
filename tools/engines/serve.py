"""A real engine with a tiny model, on this machine, until Ctrl-C.

    python tools/engines/serve.py vllm --port 8000
    python tools/engines/serve.py vllm --port 8000 -- --stream-interval 4
    python tools/engines/serve.py llama.cpp --port 8080 --output any
    python tools/engines/serve.py transformers
    python tools/engines/serve.py smg --worker http://127.0.0.1:8001 --worker http://127.0.0.1:8002 -- --backend vllm

The first start installs the engine into TRIE_ENGINES, ~/.cache/trie-engines by default: vLLM takes two minutes and
2.5 GB, llama.cpp 15 seconds. What follows `--` goes to the engine. Needs Linux, and the packages of trie.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine_setup import model as tiny
from engine_setup.llama_cpp import llama_cpp
from engine_setup.model import TinyModel
from engine_setup.places import SetupError
from engine_setup.server import Server
from engine_setup.smg import smg
from engine_setup.vllm import transformers_serve, vllm


def main() -> int:
    """Start what the command line asks for and wait for Ctrl-C or SIGTERM."""
    arguments = parsed()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs begin with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        with started(arguments) as (server, model):
            print(f"{arguments.engine}: {server.url} model {model}, ready after {server.start_s:.1f} s", flush=True)
            print(f"log {server.log}; tokenizer {tiny.folder(model_of(arguments))}; Ctrl-C ends it", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options] ENGINE [-- FLAGS]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("engine", choices=["vllm", "llama.cpp", "transformers", "smg"])
    parser.add_argument("--port", type=int, help="to listen on; any free one otherwise")
    parser.add_argument("--output", choices=["words", "any"], default="words", help="which tokens the model can say")
    parser.add_argument("--layers", type=int, default=TinyModel.layers)
    parser.add_argument("--hidden", type=int, default=TinyModel.hidden)
    parser.add_argument("--heads", type=int, default=TinyModel.heads)
    parser.add_argument("--max-position", type=int, default=TinyModel.max_position, help="context in tokens")
    parser.add_argument("--tokenizer", type=Path, help="a folder with a tokenizer.json; not for llama.cpp")
    parser.add_argument("--spin", action="store_true", help="vllm: as shipped, its processes spinning")
    parser.add_argument("--grpc", action="store_true", help="vllm: serve gRPC, for smg")
    parser.add_argument("--worker", action="append", default=[], help="smg: URL of a server, http:// or grpc://")
    parser.add_argument("--policy", default="cache_aware", help="smg: how it routes")
    own, engines = sys.argv[1:], []
    if "--" in own:  # argparse would take what follows for its own
        at = own.index("--")
        own, engines = own[:at], own[at + 1 :]
    return parser.parse_args(own, argparse.Namespace(flags=engines))


def model_of(arguments: argparse.Namespace) -> TinyModel:
    given = {name: getattr(arguments, name) for name in ("output", "layers", "hidden", "heads", "max_position")}
    return TinyModel(**given, tokenizer=arguments.tokenizer)


@contextmanager
def started(arguments: argparse.Namespace) -> Iterator[tuple[Server, str]]:
    """The server and the name of its model."""
    port, flags, model = arguments.port, arguments.flags, model_of(arguments)
    if arguments.engine == "vllm":
        with vllm(*flags, model=model, port=port, spin=arguments.spin, grpc=arguments.grpc) as server:
            yield server, "tiny"
    elif arguments.engine == "llama.cpp":
        with llama_cpp(*flags, model=model, port=port) as server:
            yield server, "tiny"
    elif arguments.engine == "transformers":
        with transformers_serve(*flags, model=model, port=port) as (server, folder):
            yield server, str(folder)
    else:
        with smg(arguments.worker, *flags, policy=arguments.policy, port=port) as server:
            yield server, "of its workers"


if __name__ == "__main__":
    sys.exit(main())
