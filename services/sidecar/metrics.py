"""The sidecar's own figures as Prometheus text, by hand: the client library would cost memory."""

from __future__ import annotations

from services.sidecar.proxy import Proxy


def render(proxy: Proxy) -> str:
    """The page of `GET /metrics` (text exposition format 0.0.4)."""
    traffic = proxy.traffic
    rows = [
        ("connections_open", "gauge", "callers' connections that are open", proxy.open_connections),
        ("connections_total", "counter", "callers' connections accepted", traffic.connections),
        ("requests_total", "counter", "HTTP requests received", traffic.requests),
        ("received_bytes_total", "counter", "bytes from callers", traffic.bytes_in),
        ("sent_bytes_total", "counter", "bytes to callers", traffic.bytes_out),
        ("resets_total", "counter", "connections ended by RST", traffic.resets),
        ("aborts_total", "counter", "requests answered here", traffic.aborts),
        ("upstream_failures_total", "counter", "connections the instance refused", traffic.upstream_failures),
        ("faults_active", "gauge", "faults in force", len(proxy.faults)),
    ]
    return "".join(
        f"# HELP sidecar_{name} {text}\n# TYPE sidecar_{name} {kind}\nsidecar_{name} {value}\n"
        for name, kind, text, value in rows
    )
