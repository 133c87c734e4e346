"""`/healthz` and `/metrics` of a process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from microservo.runtime.http import LOOPBACK, HttpServer, guarded


class HealthServer(HttpServer):
    """Answers `/healthz` with 200 or 503, and `/metrics` in Prometheus' text format; neither needs a token.

    Args:
        port: port to listen on, 0 for any free one.
        is_healthy: asked at every request, from a thread of the server.
    """

    def __init__(self, port: int, is_healthy: Callable[[], bool], host: str = LOOPBACK) -> None:
        super().__init__(guarded(_application(is_healthy), ""), port=port, hosts=(host,))


def _application(is_healthy: Callable[[], bool]) -> Starlette:
    # Synchronous: Starlette calls them in threads, so a question that takes long holds up no other.
    def healthz(_: Request) -> Response:
        if is_healthy():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not healthy\n", status_code=503)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])
