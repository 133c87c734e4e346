"""OTLP/HTTP as a source: a port on the loopback interface that every OpenTelemetry SDK can push to."""

from __future__ import annotations

from collections.abc import Callable

from microservo.adapters.clock import now_us
from microservo.runtime.http import LOOPBACK, LOOPBACK_6, HttpServer, guarded
from microservo.sources.otlp.receiver import Receiver, ReceiverLimits
from microservo.sources.source import Sink


class OtlpSource:
    """Listens on IPv4's loopback address, and on IPv6's where the machine has it.

    It asks for no token, since SDKs have none; `Host` is checked, so that no web page can send.

    Args:
        port: to listen on, 0 for any free one.
        limits: what is accepted.
        clock: epoch microseconds UTC.
    """

    name = "otlp"
    delay_us = 0

    def __init__(
        self, port: int, limits: ReceiverLimits | None = None, *, clock: Callable[[], int] = now_us
    ) -> None:
        self.port = port
        """What it listens on, once it is started."""
        self._limits = limits or ReceiverLimits()
        self._clock = clock
        self._receiver: Receiver | None = None
        self._server: HttpServer | None = None

    def start(self, sink: Sink) -> None:
        self._receiver = Receiver(sink, self._clock, self._limits)
        self._server = HttpServer(guarded(self._receiver, ""), port=self.port, hosts=(LOOPBACK, LOOPBACK_6))
        self.port = self._server.port

    def stop(self) -> None:
        if self._receiver is None or self._server is None:
            return
        self._receiver.refuse_more()
        self._server.close()
        self._receiver.close()
