from __future__ import annotations

import asyncio
import http.client
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from microservo.runtime.http import listen, serve
from services.sidecar.fault_set import FaultSet
from services.sidecar.proxy import Proxy
from services.sidecar.service import control

PATIENCE_S = 120
TOKEN = "token-of-the-test"


class Instance(ThreadingHTTPServer):
    """Answers every request with its path and body; `/bytes/N` with N bytes, `/json` with an object."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that a fault resets is no error here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # what it was given


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Instance

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def _answer(self, body: bytes) -> None:
        self.server.seen.append(self.path)
        content = self.path.encode() + body
        if self.path.startswith("/bytes/"):
            content = bytes(int(self.path.removeprefix("/bytes/")))
        if self.path == "/json":
            content = b'{"endpoint": "json", "price": 5}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


class Sidecar:
    """A proxy and its admin port on a loop in a thread of its own."""

    def __init__(self, upstream_port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._now_us = 1_000_000
        faults = FaultSet(instance="cart-0", seed=7)
        self.proxy = Proxy(faults, upstream=("127.0.0.1", upstream_port), clock=lambda: self._now_us)
        self.port: int = self._run(self.proxy.listen(0))
        admin = listen(0)
        self.admin_port = int(admin[0].getsockname()[1])
        self._stop = asyncio.Event()
        app = control(self.proxy, token=TOKEN)
        self._admin = asyncio.run_coroutine_threadsafe(serve(app, admin, self._stop), self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._admin.result(PATIENCE_S)
        self._run(self.proxy.close())
        self._run(asyncio.sleep(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def pass_us(self, duration_us: int) -> None:
        """Lets time pass."""
        self._now_us += duration_us

    def admin(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
        """The answer to who shows the token, if `headers` say nothing else."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
            response = connection.getresponse()
            content = response.read().decode()
            is_json = response.headers["Content-Type"] == "application/json"
            return response.status, json.loads(content) if is_json else content
        finally:
            connection.close()

    def apply(self, kind: str, fault_id: str = "f1", **parameters: object) -> None:
        body = json.dumps({"kind": kind, "parameters": parameters})
        status, answer = self.admin("PUT", f"/faults/{fault_id}", body)
        assert status == 200, answer

    def recover(self, fault_id: str = "f1") -> str:
        status, answer = self.admin("DELETE", f"/faults/{fault_id}")
        assert status == 200, answer
        return str(answer["evidence"])

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)
