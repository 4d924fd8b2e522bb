"""What tests of the command line call: its environment, and an endpoint that notes the keys that reach it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trie

ROOT = Path(trie.__file__).parents[1]
CONSOLE_SCRIPT = "import sys\nfrom trie.__main__ import main\nsys.exit(main())\n"  # as installers write it

Finished = subprocess.CompletedProcess[str]
Command = Callable[..., Finished]


def environment(**more: str) -> dict[str, str]:
    hidden = {"OPENAI_API_KEY", "HYDRA_FULL_ERROR", "COLUMNS"}
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


class Endpoint(ThreadingHTTPServer):
    """An endpoint that notes the keys that reach it and answers at once with as many tokens as were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authorizations: list[str | None] = []
        self.models: set[str] = set()
        self.prompts: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        self._answer("application/json", json.dumps({"object": "list", "data": [{"id": "M"}]}))

    def do_POST(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.models.add(body["model"])
        self.server.prompts.append(body["prompt"])
        asked, prompt = body["max_tokens"], len(body["prompt"].split())
        choice = {"index": 0, "text": " word" * asked, "finish_reason": "length"}
        usage = {"prompt_tokens": prompt, "completion_tokens": asked, "total_tokens": prompt + asked}
        whole = {"id": "x", "object": "text_completion", "model": body["model"], "choices": [choice]}
        if not body.get("stream"):
            self._answer("application/json", json.dumps({**whole, "usage": usage}))
            return
        events = [json.dumps(whole), json.dumps({**whole, "choices": [], "usage": usage}), "[DONE]"]
        self._answer("text/event-stream", "".join(f"data: {event}\n\n" for event in events))

    def _answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...
