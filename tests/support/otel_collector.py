"""A real OpenTelemetry Collector that takes OTLP and writes to Kafka, for as long as one is needed.

It is built of Go modules, by name, the first time, some minutes; nothing of it lies in the project.
`python tests/support/otel_collector.py` has it write the messages of `tests/golden/kafka` anew.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
import yaml
from filelock import FileLock
from go_programs import go
from needed import cache
from otlp_requests import T0_US, gauge, line, logs, metrics, resource, span, traces

from microservo.adapters.broker import TopicSpec
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.adapters.ports import free_ports
from microservo.log.reader import read_topic
from microservo.testing import eventually

BINARY = "MICROSERVO_TEST_OTEL_COLLECTOR"
"""Names a program that was built elsewhere."""
VERSION = "0.165.0"
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "kafka"
ENCODINGS: Mapping[str, tuple[str, str]] = {
    "otlp_spans.proto": ("traces", "otlp_proto"),
    "otlp_spans.json": ("traces", "otlp_json"),
    "otlp_metrics.proto": ("metrics", "otlp_proto"),
    "otlp_metrics.json": ("metrics", "otlp_json"),
    "otlp_logs.proto": ("logs", "otlp_proto"),
    "otlp_logs.json": ("logs", "otlp_json"),
    "jaeger.proto": ("traces", "jaeger_proto"),
    "jaeger.json": ("traces", "jaeger_json"),
}
"""Golden messages: of which signal, and what the exporter calls how they are written."""

_BUILDER = f"go.opentelemetry.io/collector/cmd/builder@v{VERSION}"
_CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib"
_MODULES = {
    "receivers": [f"go.opentelemetry.io/collector/receiver/otlpreceiver v{VERSION}"],
    "exporters": [f"{_CONTRIB}/exporter/kafkaexporter v{VERSION}"],
}
_START_S = 60.0


def collector_binary() -> Path:
    """The program, built if it is not there."""
    if named := os.environ.get(BINARY):
        return Path(named)
    folder = cache() / f"otel-collector-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "otelcol").exists():
            _build(folder)
    return folder / "otelcol"


def _build(folder: Path) -> None:
    what = f"the OpenTelemetry Collector; or set {BINARY}"
    go(["install", _BUILDER], folder, {"GOBIN": str(folder)}, what)
    with tempfile.TemporaryDirectory(dir=folder) as build:
        settings = {
            "dist": {"name": "otelcol", "output_path": build, "cgo_enabled": False},
            **{kind: [{"gomod": each} for each in modules] for kind, modules in _MODULES.items()},
        }
        (folder / "builder.yaml").write_text(yaml.safe_dump(settings))
        # It calls go itself; without debugging information it is built in a third of the time.
        argv = [str(folder / "builder"), "--config", str(folder / "builder.yaml"), "--skip-compilation"]
        subprocess.run(argv, check=True, capture_output=True)
        go(
            [
                "build",
                "-trimpath",
                "-gcflags=all=-dwarf=false",
                "-ldflags",
                "-s -w",
                "-o",
                "otelcol.new",
                ".",
            ],
            Path(build),
            {},
            what,
        )
        (Path(build) / "otelcol.new").rename(folder / "otelcol")


@contextmanager
def running_collector(
    folder: Path, bootstrap_servers: str, exporter: Mapping[str, object]
) -> Iterator[tuple[psutil.Process, Mapping[str, int]]]:
    """One that writes what it takes to Kafka: its process, and its ports of http and grpc.

    Args:
        folder: gets its settings and its log.
        bootstrap_servers: of the broker.
        exporter: settings of its Kafka exporter.
    """
    binary = collector_binary()
    http, grpc = free_ports(2)
    pipeline = {"receivers": ["otlp"], "exporters": ["kafka"]}
    settings = {
        "receivers": {
            "otlp": {
                "protocols": {
                    "http": {"endpoint": f"127.0.0.1:{http}"},
                    "grpc": {"endpoint": f"127.0.0.1:{grpc}"},
                }
            }
        },
        "exporters": {"kafka": {"brokers": bootstrap_servers.split(","), **exporter}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": dict.fromkeys(("traces", "metrics", "logs"), pipeline),
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    with (folder / "log").open("wb") as log:
        process = psutil.Popen(
            [binary, "--config", folder / "config.yaml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        eventually(lambda: _answers(process, http, folder / "log"), timeout_s=_START_S, what="the collector")
        yield process, {"http": http, "grpc": grpc}
    finally:
        process.terminate()
        process.wait(30)


def _answers(process: psutil.Popen, port: int, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text()[-2000:])
    try:
        requests.get(f"http://127.0.0.1:{port}/", timeout=2)
    except OSError:
        return False
    return True


def capture(folder: Path) -> None:
    """Has the collector write each message of `ENCODINGS` into a folder."""
    bodies = {
        "traces": traces([span()], resource("cart")).SerializeToString(),
        "metrics": metrics([gauge()], resource("cart")).SerializeToString(),
        "logs": logs([line(T0_US, "hello")], resource("cart")).SerializeToString(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, running_broker(Path(place) / "broker") as process:
        broker = KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers))
        broker.admin().ensure_topics([TopicSpec(name=name, partitions=1, config={}) for name in ENCODINGS])
        for encoding in sorted({encoding for _, encoding in ENCODINGS.values()}):
            wanted = {name: signal for name, (signal, each) in ENCODINGS.items() if each == encoding}
            exporter = {signal: {"topic": name, "encoding": encoding} for name, signal in wanted.items()}
            with running_collector(Path(place) / encoding, process.bootstrap_servers, exporter) as (_, ports):
                for name, signal in wanted.items():
                    value = _written(broker, ports["http"], name, signal, bodies[signal])
                    (folder / name).write_bytes(value)


def _written(broker: KafkaBroker, port: int, topic: str, signal: str, body: bytes) -> bytes:
    requests.post(
        f"http://127.0.0.1:{port}/v1/{signal}",
        data=body,
        headers={"Content-Type": "application/x-protobuf"},
        timeout=30,
    ).raise_for_status()
    (message,) = eventually(lambda: list(read_topic(broker, topic)), timeout_s=_START_S, what=topic)
    return message.value or b""


if __name__ == "__main__":
    capture(GOLDEN)
