"""OTLP as a source: two ports that every OpenTelemetry SDK and Collector can push to."""

from __future__ import annotations

from collections.abc import Callable

from microservo.adapters.clock import now_us
from microservo.errors import Unavailable
from microservo.runtime.http import LOOPBACK, LOOPBACK_6, LOOPBACK_NAMES, HttpServer
from microservo.sources.otlp.grpc_server import GrpcServer
from microservo.sources.otlp.http_app import http_app
from microservo.sources.otlp.intake import Intake, ReceiverLimits
from microservo.sources.source import Sink


class OtlpSource:
    """Listens for OTLP/HTTP and OTLP/gRPC.

    It asks for no token, since SDKs have none. So it listens on the loopback interface (of IPv6 too, where
    the machine has it) unless told otherwise, and there checks `Host`, so that no web page can send. What
    speaks gRPC is no web page.

    Args:
        port: of OTLP/HTTP, 0 for any free one.
        grpc_port: of OTLP/gRPC, 0 for any free one.
        limits: what is accepted.
        host: address of the interface to listen on.
        clock: epoch microseconds UTC.
    """

    name = "otlp"
    delay_us = 0

    def __init__(
        self,
        port: int,
        grpc_port: int,
        limits: ReceiverLimits | None = None,
        *,
        host: str = LOOPBACK,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.port = port
        """What it listens on for HTTP, once it is started."""
        self.grpc_port = grpc_port
        """What it listens on for gRPC, once it is started."""
        self._limits = limits or ReceiverLimits()
        self._is_loopback = host in LOOPBACK_NAMES
        self._hosts = (LOOPBACK, LOOPBACK_6) if self._is_loopback else (host,)
        self._clock = clock
        self._intake: Intake | None = None
        self._servers: list[HttpServer | GrpcServer] = []

    def start(self, sink: Sink) -> None:
        self._intake = Intake(sink, self._clock, self._limits)
        app = http_app(self._intake, checks_host=self._is_loopback)
        http = HttpServer(app, port=self.port, hosts=self._hosts, loop="uvloop")
        self._servers.append(http)
        self.port = http.port
        try:
            grpc = GrpcServer(self._intake, port=self.grpc_port, hosts=self._hosts)
        except Unavailable:
            self.stop()
            raise
        self._servers.append(grpc)
        self.grpc_port = grpc.port

    def stop(self) -> None:
        if self._intake is None:
            return
        self._intake.refuse_more()
        for server in self._servers:
            server.close()
        self._intake.close()
