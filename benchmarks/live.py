"""The latencies of a running system, as figures against what is asked of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Figure, figure, replace_in, show
from benchmarks.latencies import Latencies, measure_latencies, quantile
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.supervision.system_file import DEFAULT_SYSTEM, running_system

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


def main() -> int:
    """Prints the latencies of a running system, and enters them in the results with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("system", nargs="?", default=DEFAULT_SYSTEM, help="name of the running system")
    parser.add_argument(
        "--out", type=Path, help="folder of results to enter them in, e.g. benchmarks/results"
    )
    arguments = parser.parse_args()
    figures = live_figures(arguments.system)
    show(figures, Console())
    if arguments.out is not None:
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        replace_in(arguments.out, figures, f"latencies: system {arguments.system!r}, read {when}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
