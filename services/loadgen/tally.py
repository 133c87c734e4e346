"""What the users met, as metrics."""

from __future__ import annotations

from collections.abc import Callable

from microservo.adapters.opentelemetry_sdk import Instrumentation


class Tally:
    """Counts journeys and requests; `errors` are those that a user saw."""

    def __init__(self) -> None:
        self.journeys = 0
        self.shed = 0
        self.active = 0
        self.requests = 0
        self.errors = 0
        self._total_s = 0.0
        self._seen = (0, 0.0)

    def answered(self, duration_s: float, *, failed: bool) -> None:
        self.requests += 1
        self.errors += failed
        self._total_s += duration_s

    def mean_ms(self) -> float | None:
        """Mean duration of the requests since the last call, in ms; None when there were none."""
        ended, total_s = self.requests - self._seen[0], self._total_s - self._seen[1]
        self._seen = (self.requests, self._total_s)
        return 1000.0 * total_s / ended if ended else None

    def values(self) -> dict[str, float | None]:
        """The sums and levels by metric name."""
        return {
            "loadgen.journeys": self.journeys,
            "loadgen.journeys.shed": self.shed,
            "loadgen.journeys.active": self.active,
            "http.client.request.count": self.requests,
            "http.client.request.errors": self.errors,
        }


def report(tally: Tally, rate: Callable[[], float], telemetry: Instrumentation) -> None:
    """Has the metrics of the load generator read at every export."""
    telemetry.counter("loadgen.journeys", lambda: tally.journeys)
    telemetry.counter("loadgen.journeys.shed", lambda: tally.shed)
    telemetry.gauge("loadgen.journeys.active", lambda: tally.active)
    telemetry.gauge("loadgen.rate", rate, unit="1/s")
    telemetry.counter("http.client.request.count", lambda: tally.requests)
    telemetry.counter("http.client.request.errors", lambda: tally.errors)
    telemetry.gauge("http.client.duration", tally.mean_ms, unit="ms")
