"""Servers for a load balancer: they say who they are and what they were asked, and wait where told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Backend:
    """One server; a request whose path ends in /slow is answered when `release` is set.

    Args:
        port: 0 for any.

    Attributes:
        asked: the paths of requests that came.
        waiting: requests that have come and not been answered.
        is_healthy: whether /health answers 200.
    """

    def __init__(self, port: int = 0) -> None:
        self.asked: list[str] = []
        self.waiting = 0
        self.is_healthy = True
        self.release = threading.Event()
        self.redirect_to = ""
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def begin(self, path: str) -> None:
        with self._lock:
            self.asked.append(path)
            self.waiting += 1

    def end(self) -> None:
        with self._lock:
            self.waiting -= 1

    def close(self) -> None:
        """Ends it: connections are refused from now on."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up early, as a health check does, is none."""


def _handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if self.path == "/health":
                self._answer(200 if backend.is_healthy else 503, {})
                return
            backend.begin(self.path)
            try:
                if self.path.endswith("/slow"):
                    backend.release.wait(60)
                headers = {name.lower(): value for name, value in self.headers.items()}
                said = {"port": backend.port, "path": self.path, "headers": headers, "body": len(body)}
                if backend.redirect_to:
                    self._answer(302, said, Location=backend.redirect_to)
                else:
                    self._answer(200, said)
            finally:
                backend.end()

        do_POST = do_GET

        def _answer(self, status: int, said: dict[str, Any], **headers: str) -> None:
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Nobody reads it."""

    return Handler


@contextmanager
def backends(count: int) -> Iterator[list[Backend]]:
    """So many servers."""
    with ExitStack() as stack:
        yield [stack.enter_context(Backend()) for _ in range(count)]
