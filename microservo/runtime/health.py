"""`/healthz` and `/metrics` of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from microservo.runtime.wsgi import WsgiServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_TEXT = "text/plain; charset=utf-8"


class HealthServer(WsgiServer):
    """Answers `/healthz` with 200 or 503, and `/metrics` in Prometheus' text format.

    Args:
        port: port to listen on, 0 for any free one.
        is_healthy: asked at every request, from a thread of the server.
    """

    def __init__(self, port: int, is_healthy: Callable[[], bool], host: str = "127.0.0.1") -> None:
        def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            status, content_type, body = _answer(environ.get("PATH_INFO", ""), is_healthy)
            start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
            return [body]

        super().__init__(answer, port=port, host=host)


def _answer(path: str, is_healthy: Callable[[], bool]) -> tuple[str, str, bytes]:
    if path == "/metrics":
        return "200 OK", CONTENT_TYPE_LATEST, generate_latest()
    if path != "/healthz":
        return "404 Not Found", _TEXT, b"only /healthz and /metrics are here\n"
    if is_healthy():
        return "200 OK", _TEXT, b"ok\n"
    return "503 Service Unavailable", _TEXT, b"not healthy\n"
