"""How fast the collector takes spans, by HTTP and by gRPC: `python -m benchmarks.receiver`, six minutes.

Every request is answered once a broker of its own has what it holds. Both ways are measured in turn, several
times, and the medians are shown: on a busy machine one turn says little. The collector, the broker and the
senders share the machine, so what it takes a second also tells what sending costs; the collector's own
processor time for a span does not. Beside it, OpenTelemetry's Collector with its Kafka exporter, set to do
the same: it answers when all replicas have the bytes, and compresses them likewise. It decodes and encodes
them; ours also makes columns of them and finds services, callees and doubles.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from benchmarks.load import PARTITIONS, create_topics
from benchmarks.processes import measure, own_python
from benchmarks.real_systems import VERSION, running_collector
from microservo.adapters.broker import TopicSpec
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
    "400 exporters, 25 spans a request": (400, 25),
    "128 exporters, 500 spans a request": (128, 500),
}
_SDK_CASE = "the exporter of the Python SDK, 512 spans a request"
_SDK_SPANS = 512
_ASKED_SPANS_PER_S = {
    "one exporter, 512 spans a request": 20_000.0,
    "400 exporters, 25 spans a request": 50_000.0,
    "128 exporters, 500 spans a request": 150_000.0,
}
"""By case; one exporter waits for each answer, and 400 with 25 spans each send 2,000 requests a second."""
_PEER = f"OpenTelemetry Collector {VERSION}, kafka exporter"
_PEER_SETTINGS = {
    "sending_queue": {"enabled": False},
    "producer": {"required_acks": -1, "compression": "lz4", "linger": "5ms"},
}
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
    with _collector(bootstrap_servers, log) as collector, _peer(bootstrap_servers, log.parent) as peer:
        for title, (senders, spans) in _CASES.items():
            arguments = (str(senders), str(spans), str(_SECONDS))
            http, grpc, *theirs = _in_turn("benchmarks.senders", arguments, collector, peer)
            if title in _ASKED_SPANS_PER_S:
                yield _asked(title, http)
            yield from _figures_of(title, http, grpc)
            yield from _beside_peer(title, (http, grpc), theirs)
        http, grpc = _in_turn("benchmarks.sdk_sender", (str(_SDK_SPANS), str(_SECONDS)), collector)
        yield from _figures_of(_SDK_CASE, http, grpc)
        yield figure(
            f"CPU of the collector, {_QUIET}",
            _quiet_percent(collector),
            "% of a core",
            peer="asked for",
            peer_value=_ASKED_PERCENT,
            command=COMMAND,
        )


def _in_turn(module: str, arguments: Sequence[str], *collectors: _Collector | None) -> list[Sequence[_Speed]]:
    """The turns of a sender by HTTP and those by gRPC, of each collector that there is."""
    ways = [(each, kind) for each in collectors if each is not None for kind in ("http", "grpc")]
    found: list[list[_Speed]] = [[] for _ in ways]
    for _ in range(_TURNS):
        for speeds, (collector, kind) in zip(found, ways, strict=True):
            speeds.append(_speed(collector, module, kind, arguments))
    return [*found]


def _asked(title: str, http: Sequence[_Speed]) -> Figure:
    return figure(
        f"OTLP/HTTP, {title}",
        statistics.median(each.spans_per_s for each in http),
        "spans/s",
        peer="asked for",
        peer_value=_ASKED_SPANS_PER_S[title],
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


def _beside_peer(
    title: str, ours: Sequence[Sequence[_Speed]], theirs: Sequence[Sequence[_Speed]]
) -> Iterator[Figure]:
    """Spans for a second of a processor; those of the peer are None where it could not be had."""
    for at, way in enumerate(("HTTP", "gRPC")):
        rates = [
            1e6 / statistics.median(each.cpu_us for each in speeds[at]) if speeds else None
            for speeds in (ours, theirs)
        ]
        yield figure(
            f"OTLP/{way}, {title}, for a second of the collector's processor time",
            rates[0],
            "spans/CPU s",
            peer=_PEER,
            peer_value=rates[1],
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


@contextmanager
def _peer(bootstrap_servers: str, folder: Path) -> Iterator[_Collector | None]:
    """OpenTelemetry's own; None where it can't be built, which is said."""
    with ExitStack() as stack:
        try:
            spans = TopicSpec(name="otlp_spans", partitions=PARTITIONS, config={})
            KafkaBroker(KafkaSettings(bootstrap_servers=bootstrap_servers)).admin().ensure_topics([spans])
            process, ports = stack.enter_context(
                running_collector(folder / "peer", bootstrap_servers, _PEER_SETTINGS)
            )
        except pytest.skip.Exception as error:
            print(error, file=sys.stderr)
            yield None
        else:
            yield _Collector(process=process, ports=ports)


def _on_a_broker(folder: Path, _: argparse.Namespace) -> Iterator[Figure]:
    with running_broker(folder / "broker") as process:
        create_topics(KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers)))
        yield from figures(process.bootstrap_servers, folder / "collector.log")


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, _on_a_broker, name="receiver", title="What the collector takes")


if __name__ == "__main__":
    sys.exit(main())
