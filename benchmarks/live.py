"""The latencies of a running system, as figures against what is asked of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console

from benchmarks.figures import Figure, figure, show
from benchmarks.latencies import Latencies, measure_latencies, quantile
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.system_file import DEFAULT_SYSTEM, running_system

COMMAND = "python -m benchmarks.live"
_FIRST = "microservo up (in another terminal, and request some faults), then "
_ASKED_MS = {
    "label after confirmation": ("label", 100.0),
    "labelled window after its closing mark": ("window", 1000.0),
    "score after its window": ("score", 250.0),
}


def live_figures(system: str) -> list[Figure]:
    """p50 and p99 of each latency; unavailable where no system of that name runs."""
    running = running_system(system)
    if running is None:
        return list(_figures(Latencies(), _FIRST + COMMAND))
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=running.bootstrap_servers))
    found = measure_latencies(broker, running.run_id, running.topic_prefix)
    return list(_figures(found, COMMAND))


def _figures(found: Latencies, command: str) -> Iterator[Figure]:
    for name, (attribute, asked_ms) in _ASKED_MS.items():
        values = getattr(found, attribute)
        for title, share, bound_ms in (("p50", 0.5, None), ("p99", 0.99, asked_ms)):
            yield figure(
                f"{name}, {title}",
                quantile(values, share),
                "ms",
                peer="asked for" if bound_ms else "none",
                peer_value=bound_ms,
                command=command,
            )


if __name__ == "__main__":
    show(live_figures(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_SYSTEM), Console())
