"""How fast the collector takes spans, by HTTP and by gRPC: `python -m benchmarks.receiver`, three minutes.

Every request is answered once a broker of its own has what it holds. Both ways are measured in turn, several
times, and the medians are shown: on a busy machine one turn says little. The collector, the broker and the
senders share the machine, so what it takes a second also tells what sending costs; the collector's own
processor time for a span does not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.facts import machine_facts, time_fact
from benchmarks.figures import Figure, figure, show, write
from benchmarks.load import create_topics
from benchmarks.processes import measure, own_python
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import child_environment
from microservo.runtime.probe import is_healthy

COMMAND = "python -m benchmarks.receiver"
_CASES = {
    "one exporter, 512 spans a request": (1, 512),
    "64 exporters, 100 spans a request": (64, 100),
    "64 exporters, 5 spans a request": (64, 5),
}
_SDK_CASE = "the exporter of the Python SDK, 512 spans a request"
_SDK_SPANS = 512
_ASKED_SPANS_PER_S = 20_000.0
"""Of one exporter that waits for each answer."""
_QUIET_SERVICES = 11
_QUIET = f"{_QUIET_SERVICES} services that export each signal twice a second"
_QUIET_SECONDS = 20
_ASKED_PERCENT = 6.0
_TURNS = 3
_SECONDS = 5
_START_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collector:
    """A running collector: its process, and its port of each kind."""

    process: psutil.Process
    ports: Mapping[str, int]

    def cpu_s(self) -> float:
        """Seconds of processor time that it has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True, slots=True)
class _Speed:
    """What was taken in one turn: spans a second, and the collector's processor time for a span."""

    spans_per_s: float
    cpu_us: float


def figures(bootstrap_servers: str, log: Path) -> Iterator[Figure]:
    """Spans a second of each case and what they cost, gRPC against HTTP; and what a quiet collector costs."""
    with _collector(bootstrap_servers, log) as collector:
        for title, (senders, spans) in _CASES.items():
            arguments = (str(senders), str(spans), str(_SECONDS))
            http, grpc = _in_turn(collector, "benchmarks.senders", arguments)
            if senders == 1:
                yield _asked_of_one(title, http)
            yield from _figures_of(title, http, grpc)
        http, grpc = _in_turn(collector, "benchmarks.sdk_sender", (str(_SDK_SPANS), str(_SECONDS)))
        yield from _figures_of(_SDK_CASE, http, grpc)
        yield figure(
            f"CPU of the collector, {_QUIET}",
            _quiet_percent(collector),
            "% of a core",
            peer="asked for",
            peer_value=_ASKED_PERCENT,
            command=COMMAND,
        )


def _in_turn(
    collector: _Collector, module: str, arguments: Sequence[str]
) -> tuple[Sequence[_Speed], Sequence[_Speed]]:
    """The turns by HTTP and those by gRPC of a sender."""
    found: dict[str, list[_Speed]] = {"http": [], "grpc": []}
    for _ in range(_TURNS):
        for kind, speeds in found.items():
            speeds.append(_speed(collector, module, kind, arguments))
    return found["http"], found["grpc"]


def _asked_of_one(title: str, http: Sequence[_Speed]) -> Figure:
    return figure(
        f"OTLP/HTTP, {title}",
        statistics.median(each.spans_per_s for each in http),
        "spans/s",
        peer="asked for",
        peer_value=_ASKED_SPANS_PER_S,
        command=COMMAND,
    )


def _figures_of(title: str, http: Sequence[_Speed], grpc: Sequence[_Speed]) -> Iterator[Figure]:
    rates = [statistics.median(each.spans_per_s for each in speeds) for speeds in (http, grpc)]
    costs = [statistics.median(each.cpu_us for each in speeds) for speeds in (http, grpc)]
    for name, unit, values in (("", "spans/s", rates), (", CPU of the collector", "us/span", costs)):
        yield figure(
            f"OTLP/gRPC, {title}{name}",
            values[1],
            unit,
            peer="OTLP/HTTP",
            peer_value=values[0],
            command=COMMAND,
        )


def _speed(collector: _Collector, module: str, kind: str, arguments: Sequence[str]) -> _Speed:
    before_s = collector.cpu_s()
    result = _result(module, kind, str(collector.ports[kind]), *arguments)
    used_us = (collector.cpu_s() - before_s) * 1e6
    return _Speed(result["spans"] / result["elapsed_s"], used_us / result["spans_with_warm_up"])


def _quiet_percent(collector: _Collector) -> float:
    """Processor time of a second, in percent of a core, under exporters on an interval."""
    before_s = collector.cpu_s()
    arguments = (str(collector.ports["http"]), str(_QUIET_SERVICES), str(_QUIET_SECONDS))
    result = _result("benchmarks.exporters", *arguments)
    return 100 * (collector.cpu_s() - before_s) / result["elapsed_s"]


def _result(module: str, *arguments: str) -> Mapping[str, float]:
    outcome = measure(own_python(), module, *arguments, timeout_s=60)
    if outcome.result is None:
        raise RuntimeError(outcome.reason)
    return outcome.result


@contextmanager
def _collector(bootstrap_servers: str, log: Path) -> Iterator[_Collector]:
    """One of its own, once it is healthy."""
    http, grpc, health = free_ports(3)
    environment = child_environment(
        {
            "MICROSERVO_BOOTSTRAP_SERVERS": bootstrap_servers,
            "MICROSERVO_RUN_ID": "receiver",
            "MICROSERVO_OTLP_PORT": str(http),
            "MICROSERVO_OTLP_GRPC_PORT": str(grpc),
            "MICROSERVO_HEALTH_PORT": str(health),
        }
    )
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
        yield _Collector(process=psutil.Process(process.pid), ports={"http": http, "grpc": grpc})
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
        facts = [time_fact(time.monotonic() - started_s, load_before), *machine_facts()]
        write(found, facts, out, name="receiver", title="What the collector takes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
