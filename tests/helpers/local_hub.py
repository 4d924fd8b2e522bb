"""A small real hub on the loopback: what huggingface_hub asks for one file of one dataset."""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROW = (
    b'{"num_turns": 1, "input_prompt_length": 7, "assistant_response_length": [3], "tool_call_output_length": [2], '
    b'"tool_call_latency": [0.5], "final_assistant_response_length": 4}\n'
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves /datasets/<repo>/resolve/main/<file>; `broken` gives half of a body once, and then only errors."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/datasets/org/set/resolve/main/rows.jsonl": ROW * 500}
        self.broken = False
        self.sent: bytes | None = None  # instead of the file, of the same length
        self.etag: str | None = None  # instead of the file's SHA-256
        self.status: int | None = None
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        hub = self.server
        hub.requests.append(f"{self.command} {self.path}")
        body = hub.files.get(self.path)
        if body is None or hub.status is not None:
            self.send_response(hub.status or 404)
            self.send_header("X-Error-Code", "EntryNotFound" if "org/set" in self.path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        again = hub.broken and sum(line.startswith("GET") for line in hub.requests) > 1
        self.send_response(500 if again else 200)
        self.send_header("ETag", f'"{hub.etag or hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(0 if again else len(body)))
        self.end_headers()
        body = hub.sent or body
        if with_body and not again:
            self.wfile.write(body[: len(body) // 2] if hub.broken else body)
            self.close_connection = hub.broken

    def log_message(self, *args: object) -> None:
        pass
