"""The figures of a sidecar as Prometheus text, by hand: the client library would cost memory.

They are telemetry of the service, so none of them may say what only the injector knows: no faults in force,
and nothing that a fault alone could move.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from microservo.platforms.local.request_headers import PLACES
from services.sidecar.proxy import Proxy
from services.sidecar.traffic import BUCKETS_PER_DOUBLING, Traffic


def render(proxy: Proxy) -> str:
    """The page of `GET /metrics` (text exposition format 0.0.4)."""
    traffic = proxy.traffic
    rows = [
        ("connections_open", "gauge", "callers' connections that are open", proxy.open_connections),
        ("connections_total", "counter", "callers' connections accepted", traffic.connections),
        ("resets_total", "counter", "connections ended by RST", traffic.resets),
        ("refusals_total", "counter", "connections the instance did not accept", traffic.refusals),
        ("received_bytes_total", "counter", "bytes from callers", traffic.bytes_in),
        ("sent_bytes_total", "counter", "bytes to callers", traffic.bytes_out),
        ("requests_active", "gauge", "HTTP requests that are not answered", traffic.active),
        ("requests_total", "counter", "HTTP requests received", traffic.requests),
        ("answers_4xx_total", "counter", "HTTP answers that refuse a request", traffic.answers[4]),
        ("answers_5xx_total", "counter", "HTTP answers that report a failure", traffic.answers[5]),
    ]
    page = "".join(
        f"# HELP sidecar_{name} {text}\n# TYPE sidecar_{name} {kind}\nsidecar_{name} {value}\n"
        for name, kind, text, value in rows
    )
    return page + "".join(_durations(traffic)) + "".join(_places(proxy))


def _places(proxy: Proxy) -> Iterator[str]:
    """From where requests came, where places have distances."""
    if proxy.distance is None:
        return
    name = PLACES
    yield f"# HELP {name} HTTP requests by the place of their caller, degrees\n# TYPE {name} counter\n"
    for place, count in proxy.distance.requests.items():
        yield f'{name}{{latitude="{place.latitude!r}",longitude="{place.longitude!r}"}} {count}\n'


def _durations(traffic: Traffic) -> Iterator[str]:
    """The histogram of durations on the wire; buckets in which nothing fell are left out."""
    name = "sidecar_request_seconds"
    yield f"# HELP {name} from a request's head to its answer's last byte\n# TYPE {name} histogram\n"
    buckets = sorted(traffic.durations.items())
    counts = list(accumulate(count for _, count in buckets))
    for (bucket, _), count in zip(buckets, counts, strict=True):
        yield f'{name}_bucket{{le="{2 ** (bucket / BUCKETS_PER_DOUBLING):.6g}"}} {count}\n'
    total = counts[-1] if counts else 0
    yield f'{name}_bucket{{le="+Inf"}} {total}\n{name}_sum {traffic.total_s:.9g}\n{name}_count {total}\n'
