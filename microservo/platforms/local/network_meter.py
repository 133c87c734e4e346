"""What the network of instances carries, read from the sidecars that stand on their paths.

A sidecar is part of how faults are made, but what passes through it is the instance's own traffic, as the
counters of its network interface and of its proxy would have it.
"""

from __future__ import annotations

import contextlib
import http.client
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import urlsplit

# A sidecar answers within a millisecond or two; one that hangs must not hold up the sample of all.
_TIMEOUT_S = 0.2
_MAX_PAGE_BYTES = 100_000
_PREFIX = "sidecar_"
_BUCKET = 'sidecar_request_seconds_bucket{le="'

_GAUGES = {
    "connections_open": "network.connections.open",
    "requests_active": "network.requests.active",
}
_RATES = {
    "connections_total": "network.connections.accepted",
    "resets_total": "network.connections.reset",
    "refusals_total": "network.connections.refused",
    "received_bytes_total": "network.io.receive_bytes",
    "sent_bytes_total": "network.io.transmit_bytes",
    "requests_total": "network.requests.count",
    "answers_4xx_total": "network.responses.4xx",
    "answers_5xx_total": "network.responses.5xx",
}
_QUANTILES = {"p50": 0.50, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class _Page:
    """What a sidecar counted until `read_at_s`.

    Attributes:
        values: by name, without labels.
        buckets: requests by the upper end of their duration in seconds.
    """

    values: Mapping[str, float]
    buckets: Mapping[float, float]
    read_at_s: float


class NetworkMeter:
    """Reads sidecars by a name of the caller's; rates are over the time since the reading before.

    Args:
        clock_s: seconds that never fall, for the rates.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._before: dict[str, _Page] = {}

    def read(self, sidecars: Mapping[str, str]) -> dict[str, dict[str, float]]:
        """Metrics by name; a sidecar that does not answer is not in it.

        Metrics: `network.connections.open`, `.accepted`, `.reset`, `.refused`; `network.io.receive_bytes`,
        `.transmit_bytes`; `network.requests.count`, `.active` (not answered yet); `network.responses.4xx`,
        `.5xx`; `network.request.duration.p50`, `.p99` (ms, from a request's head to its answer's last byte,
        of those answered since the reading before). Each a second, but for what is open or active, and for
        durations.

        Args:
            sidecars: base addresses of their control APIs.
        """
        pages = {name: page for name, url in sidecars.items() if (page := self._page(url)) is not None}
        before, self._before = self._before, pages
        return {name: _metrics(before.get(name), page) for name, page in pages.items()}

    def _page(self, url: str) -> _Page | None:
        # It is down, or something else answers in its place.
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            return _parsed(_fetch(url), self._clock_s())
        return None


def _fetch(url: str) -> str:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read(_MAX_PAGE_BYTES).decode("ascii")
    finally:
        connection.close()


def _parsed(page: str, read_at_s: float) -> _Page:
    values: dict[str, float] = {}
    buckets: dict[float, float] = {}
    below = 0.0
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        name, _, text = line.rpartition(" ")
        if name.startswith(_BUCKET):
            buckets[float(name[len(_BUCKET) : -2])] = float(text) - below
            below = float(text)
        else:
            values[name.removeprefix(_PREFIX)] = float(text)
    if not values.keys() >= _GAUGES.keys() | _RATES.keys():
        msg = f"this is no page of a sidecar: {page[:80]!r}"
        raise ValueError(msg)
    return _Page(values, buckets, read_at_s)


def _metrics(before: _Page | None, after: _Page) -> dict[str, float]:
    metrics = {metric: after.values[name] for name, metric in _GAUGES.items()}
    # A sidecar that was restarted counts from 0 again.
    if before is None or _is_less(after, before) or after.read_at_s <= before.read_at_s:
        return metrics
    interval_s = after.read_at_s - before.read_at_s
    for name, metric in _RATES.items():
        metrics[metric] = (after.values[name] - before.values[name]) / interval_s
    counts = {end_s: count - before.buckets.get(end_s, 0.0) for end_s, count in after.buckets.items()}
    return metrics | _quantiles({end_s: count for end_s, count in counts.items() if count > 0})


def _is_less(after: _Page, before: _Page) -> bool:
    return any(after.values[name] < before.values[name] for name in _RATES)


def _quantiles(counts: Mapping[float, float]) -> dict[str, float]:
    """Nearest-rank quantiles in ms, by the ends of buckets that are 9 % wide; none of nothing."""
    total = sum(counts.values())
    if not total:
        return {}
    ordered = sorted(counts.items())
    reached = list(accumulate(count for _, count in ordered))
    return {
        f"network.request.duration.{name}": 1000 * ordered[bisect_left(reached, share * total)][0]
        for name, share in _QUANTILES.items()
    }
