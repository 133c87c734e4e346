"""The names of time series, bounded: attributes whose values never end must not fill memory or messages."""

from __future__ import annotations

from microservo.domain.bounded_names import OTHER, BoundedNames

_METRICS = 1000
_SERIES = 1000
_SERIES_PER_METRIC = 100
_SERIES_BYTES = 100_000
"""A window repeats each name in six features, and has to fit a message."""
_OVERFLOW = "{otel.metric.overflow=true}"
"""What the SDKs of OpenTelemetry put in the place of attributes beyond their own limit of cardinality."""


class SeriesNames:
    """Admits names of the form `metric{attributes}`.

    Of each service, the first 1,000 metrics keep their names; points of others become `<other>`. The first
    1,000 series with attributes stay apart, 100 of one metric and 100 KB of names at most; what else a metric
    has goes together as `metric{otel.metric.overflow=true}`, so that no metric takes the place of another.
    """

    def __init__(self) -> None:
        self._metrics = BoundedNames(_METRICS)
        self._series: dict[str, set[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._bytes: dict[str, int] = {}

    def admit(self, service: str, name: str) -> str:
        """The name under which the points of a name go on."""
        metric, brace, _ = name.partition("{")
        known = self._series.setdefault(service, set())
        if name in known:
            return name
        if self._metrics.admit(service, metric) == OTHER:
            return OTHER
        if not brace:
            return metric
        count = self._counts.get((service, metric), 0)
        name_bytes = self._bytes.get(service, 0) + len(name.encode("utf-8", "replace"))
        if len(known) >= _SERIES or count >= _SERIES_PER_METRIC or name_bytes > _SERIES_BYTES:
            return metric + _OVERFLOW
        known.add(name)
        self._counts[service, metric] = count + 1
        self._bytes[service] = name_bytes
        return name
