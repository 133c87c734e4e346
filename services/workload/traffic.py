"""Counts the requests of an instance."""

from __future__ import annotations

from collections.abc import Callable

from microservo.adapters.opentelemetry_sdk import Instrumentation
from services.workload.pool import ConnectionPool
from services.workload.volume import Volume


class Traffic:
    """Requests served so far, and those being served now."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.rejected = 0
        """Turned away before any work; errors too."""
        self.active = 0
        self._total_s = 0.0
        self._seen = (0, 0.0)

    def begin(self) -> None:
        self.active += 1

    def end(self, duration_s: float, *, failed: bool) -> None:
        self.active -= 1
        self.requests += 1
        self.errors += failed
        self._total_s += duration_s

    def mean_ms(self) -> float | None:
        """Mean duration of the requests ended since the last call, in ms; None when there were none."""
        ended, total_s = self.requests - self._seen[0], self._total_s - self._seen[1]
        self._seen = (self.requests, self._total_s)
        return 1000.0 * total_s / ended if ended else None

    def values(self) -> dict[str, float | None]:
        """The sums and levels by metric name."""
        return {
            "http.server.request.count": self.requests,
            "http.server.request.errors": self.errors,
            "http.server.request.rejected": self.rejected,
            "http.server.active_requests": self.active,
        }


def report(
    traffic: Traffic,
    hit_ratio: Callable[[], float | None],
    pool: ConnectionPool,
    volume: Volume,
    telemetry: Instrumentation,
) -> None:
    """Has the metrics of an instance read at every export."""
    telemetry.counter("http.server.request.count", lambda: traffic.requests)
    telemetry.counter("http.server.request.errors", lambda: traffic.errors)
    telemetry.counter("http.server.request.rejected", lambda: traffic.rejected)
    telemetry.gauge("http.server.active_requests", lambda: traffic.active)
    telemetry.gauge("http.server.duration", traffic.mean_ms, unit="ms")
    telemetry.gauge("cache.hit_ratio", hit_ratio)
    telemetry.gauge("db.client.connection.count", lambda: pool.used)
    telemetry.gauge("system.filesystem.utilization", volume.used_share)
