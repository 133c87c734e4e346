"""How fast the collector takes spans, by HTTP and by gRPC: `python -m benchmarks.receiver`, three minutes.

Every request is answered once a broker of its own has what it holds. Both ways are measured in turn, several
times, and the medians are shown: on a busy machine one turn says little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.facts import machine_facts
from benchmarks.figures import Figure, figure, show, write
from benchmarks.load import create_topics
from benchmarks.processes import measure, own_python
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.adapters.ports import free_ports
from microservo.runtime.probe import is_healthy

COMMAND = "python -m benchmarks.receiver"
_CASES = {
    "one exporter, 512 spans a request": (1, 512),
    "64 exporters, 100 spans a request": (64, 100),
    "64 exporters, 5 spans a request": (64, 5),
}
_ASKED_SPANS_PER_S = 20_000.0
"""Of one exporter that waits for each answer."""
_TURNS = 3
_SECONDS = 5
_START_S = 60.0


def figures(bootstrap_servers: str, log: Path) -> Iterator[Figure]:
    """Spans a second of each case, gRPC against HTTP."""
    with _collector(bootstrap_servers, log) as ports:
        for title, (senders, spans) in _CASES.items():
            found: dict[str, list[float]] = {"http": [], "grpc": []}
            for _ in range(_TURNS):
                for kind, values in found.items():
                    values.append(_spans_per_s(kind, ports[kind], senders, spans))
            http, grpc = (statistics.median(values) for values in found.values())
            if senders == 1:
                yield figure(
                    f"OTLP/HTTP, {title}",
                    http,
                    "spans/s",
                    peer="asked for",
                    peer_value=_ASKED_SPANS_PER_S,
                    command=COMMAND,
                )
            yield figure(
                f"OTLP/gRPC, {title}", grpc, "spans/s", peer="OTLP/HTTP", peer_value=http, command=COMMAND
            )


def _spans_per_s(kind: str, port: int, senders: int, spans: int) -> float:
    arguments = (kind, str(port), str(senders), str(spans), str(_SECONDS))
    outcome = measure(own_python(), "benchmarks.senders", *arguments, timeout_s=60)
    rate = outcome.rate("spans")
    if rate is None:
        raise RuntimeError(outcome.reason)
    return rate


@contextmanager
def _collector(bootstrap_servers: str, log: Path) -> Iterator[dict[str, int]]:
    """Its ports, once it is healthy."""
    http, grpc, health = free_ports(3)
    environment = {
        **os.environ,
        "MICROSERVO_BOOTSTRAP_SERVERS": bootstrap_servers,
        "MICROSERVO_RUN_ID": "receiver",
        "MICROSERVO_OTLP_PORT": str(http),
        "MICROSERVO_OTLP_GRPC_PORT": str(grpc),
        "MICROSERVO_HEALTH_PORT": str(health),
    }
    with log.open("wb") as out:
        command = [sys.executable, "-m", "services.telemetry_collector"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        deadline_s = time.monotonic() + _START_S
        while not is_healthy(f"http://127.0.0.1:{health}"):
            if process.poll() is not None or time.monotonic() > deadline_s:
                msg = f"the collector did not start; its last words: {log.read_text('utf-8')[-500:]}"
                raise RuntimeError(msg)
            time.sleep(0.1)
        yield {"http": http, "grpc": grpc}
    finally:
        process.terminate()
        process.wait(30)


def main() -> int:
    """Measures on a broker of its own, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to write to, e.g. benchmarks/results")
    out = parser.parse_args().out
    started_s, load_before = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder) / "broker") as process:
        create_topics(KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers)))
        found = list(figures(process.bootstrap_servers, Path(folder) / "collector.log"))
    show(found, Console())
    if out is not None:
        facts = machine_facts(time.monotonic() - started_s, load_before)
        write(found, facts, out, name="receiver", title="What the collector takes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
