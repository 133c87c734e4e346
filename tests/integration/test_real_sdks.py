"""Services with real SDKs, set up as docs/attach_your_system.md says: all they send is in windows."""

from __future__ import annotations

import http.client
import socket
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from live_run import LiveRun
from sdk_services import SdkService, java_service, node_service, python_service

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.domain.telemetry import log_columns
from microservo.domain.window_policy import WindowPolicy
from microservo.runtime.probe import is_healthy
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually
from schemas.catalogue import TELEMETRY_LOGS
from schemas.codec import decode_as
from schemas.records import LabelledWindow, LogBatch

pytestmark = pytest.mark.integration

S = 1_000_000
# The machine of a test may be busy: what an SDK sends seconds late is on time, and counts are exact.
POLICY = WindowPolicy(size_us=2 * S, first_cut_us=10 * S, final_cut_us=60 * S)
PATIENCE_S = 180
METRICS = "windows with metrics of the HTTP server"
ITEMS = range(1, 21)
FAILED = len([item for item in ITEMS if item % 5 == 0])
SERVED = len(ITEMS) - FAILED
LINES = {
    "price": ("price of item <*> asked", "no price for item <*>"),
    "cart": ("item <*> put into the cart", "no room for item <*>"),
    "stock": ("stock of item <*> asked", "no stock of item <*>"),
}
"""The templates of what each service writes of an item, served and failed."""


def test_every_request_to_a_service_with_a_real_sdk_is_in_windows(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    with ThreadPoolExecutor() as pool:
        services = list(pool.map(lambda make: make(), (python_service, node_service, java_service)))
    run = LiveRun(kafka_broker, topic_prefix, tmp_path, partitions=2, policy=POLICY)
    with run.pipeline.workers(), run.injector(), run.collector() as collector, Supervisor() as supervisor:
        eventually(
            lambda: is_healthy(f"http://127.0.0.1:{collector.health_port}"),
            timeout_s=PATIENCE_S,
            what="a healthy collector",
        )
        ports = free_ports(len(services))
        otlp = {"4317": collector.grpc_port, "4318": collector.port}
        for service, port in zip(services, ports, strict=True):
            supervisor.start(service.spec(tmp_path, port, otlp))
        for service, port in zip(services, ports, strict=True):
            eventually(
                partial(_listens, supervisor, service.name, port),
                timeout_s=PATIENCE_S,
                what=f"{service.name} to listen",
            )
            _ask_for_items(service, port)
        for service in services:
            expected = {
                "requests": len(ITEMS),
                "failed requests": FAILED,
                "lines of failed": FAILED,
            }
            eventually(
                partial(_is_told, run, service.name, {**expected, "lines of served": SERVED}),
                timeout_s=PATIENCE_S,
                interval_s=0.5,
                what=f"{expected} of {service.name} in windows",
            )
            told = _told(run.windows(), service.name)
            assert {name: told[name] for name in expected} == expected, service.name
            served, failed = LINES[service.name]
            assert _lines(run, service.name) >= Counter({served: SERVED, failed: FAILED})


def _listens(supervisor: Supervisor, name: str, port: int) -> bool:
    assert supervisor.pids()[name] is not None, f"{name} has ended; its log says why"
    # A connection and no request: each of those is counted.
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_told(run: LiveRun, service: str, expected: Mapping[str, int]) -> bool:
    return _told(run.windows(), service) >= Counter({**expected, METRICS: 1})


def _ask_for_items(service: SdkService, port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for item in ITEMS:
            connection.request("GET", f"{service.path}{item}")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == (500 if item % 5 == 0 else 200)


def _told(windows: list[LabelledWindow], service: str) -> Counter[str]:
    """What the newest revisions of the windows of a service say in all."""
    newest: dict[int, LabelledWindow] = {}
    for window in windows:
        if window.service == service:
            newest[window.start_us] = max(
                window, newest.get(window.start_us, window), key=lambda each: each.revision
            )
    told: Counter[str] = Counter()
    for window in newest.values():
        features = defaultdict(float, zip(window.names, window.values, strict=True))
        requests = features["request/*/count"]
        told["requests"] += round(requests)
        told["failed requests"] += round(requests * features["request/*/error_share"]) if requests else 0
        # Templates that are new have no feature of their own yet; a service may say more when it starts.
        told["lines of served"] += round(features["log/severity/info"])
        told["lines of failed"] += round(features["log/severity/error"])
        told[METRICS] += any("metric/http.server." in name for name in features)
    return told


def _lines(run: LiveRun, service: str) -> Counter[str]:
    """How many lines of each template a service has sent."""
    lines: Counter[str] = Counter()
    for message in run.pipeline.read(TELEMETRY_LOGS):
        if message.value is None:
            continue
        batch = decode_as(LogBatch, message.value)
        if batch.service == service:
            lines.update(batch.templates[index] for index in log_columns(batch).template.tolist())
    return lines
