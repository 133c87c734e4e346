"""The collector as a process between real senders and a real broker."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from otlp_requests import resource, span, traces
from target_states import local_instance, target_state

from microservo.adapters.broker import Broker, Message, Partition, TopicSpec
from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.adapters.ports import free_ports
from microservo.domain.telemetry import log_columns, metric_columns, record_count, span_columns
from microservo.platforms.local.state import write_state
from microservo.testing import eventually
from schemas.catalogue import (
    DEAD_LETTER_SUFFIX,
    EXPERIMENTS,
    SERVICE_GRAPH,
    SERVICE_INSTANCES,
    TELEMETRY_LOGS,
    TELEMETRY_METRICS,
    TELEMETRY_TRACES,
)
from schemas.codec import decode, decode_as
from schemas.envelope import Stamp
from schemas.records import (
    LogBatch,
    MetricBatch,
    ServiceGraph,
    ServiceInstance,
    ServiceInventory,
    SpanBatch,
)

pytestmark = pytest.mark.integration

JOINED = (TELEMETRY_METRICS, TELEMETRY_LOGS, TELEMETRY_TRACES)
PARTITIONS = 3
PATIENCE_S = 120.0


class Site:
    """The ports and topics of one test, and the collector on them."""

    def __init__(self, broker: Broker, prefix: str, environment: dict[str, str]) -> None:
        self.broker = broker
        self.prefix = prefix
        self.otlp_port, self.grpc_port, self.health_port = free_ports(3)
        self._environment = environment | {
            "MICROSERVO_TOPIC_PREFIX": prefix,
            "MICROSERVO_RUN_ID": "run-1",
            "MICROSERVO_OTLP_PORT": str(self.otlp_port),
            "MICROSERVO_OTLP_GRPC_PORT": str(self.grpc_port),
            "MICROSERVO_HEALTH_PORT": str(self.health_port),
            "MICROSERVO_GRAPH_INTERVAL_S": "0.5",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.otlp_port}"

    @contextmanager
    def collector(self) -> Iterator[subprocess.Popen[bytes]]:
        """A healthy collector; killed at the end if it still runs."""
        command = [sys.executable, "-m", "services.telemetry_collector"]
        with subprocess.Popen(command, env=self._environment) as process:
            try:
                eventually(
                    lambda: self._is_healthy(process), timeout_s=PATIENCE_S, what="a healthy collector"
                )
                yield process
            finally:
                process.kill()

    def watch(self, state_file: Path) -> None:
        """Gives collectors from now on a target to measure."""
        self._environment["MICROSERVO_TARGET_STATE"] = str(state_file)

    def messages(self, topic: str) -> list[Message]:
        """All of a topic that is there now, in offset order within each partition."""
        found: list[Message] = []
        with self.broker.consumer(group_id=None) as consumer:
            ranges = {each: consumer.offset_range(each) for each in consumer.partitions(self.prefix + topic)}
            consumer.assign({each: first for each, (first, _) in ranges.items()})
            missing = sum(end - first for first, end in ranges.values())
            while missing > 0:
                batch = consumer.consume(missing, PATIENCE_S)
                assert batch, f"{missing} messages of {topic} did not arrive"
                inside = [each for each in batch if each.offset < ranges[_place(each)][1]]
                found += inside
                missing -= len(inside)
        return found

    def _is_healthy(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"the collector ended with {process.returncode}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _place(message: Message) -> Partition:
    return Partition(message.topic, message.partition)


@pytest.fixture
def site(kafka_broker: Broker, kafka_bootstrap_servers: str, topic_prefix: str) -> Site:
    names = [
        *JOINED,
        *(name + DEAD_LETTER_SUFFIX for name in JOINED),
        SERVICE_GRAPH,
        SERVICE_INSTANCES,
        EXPERIMENTS,
    ]
    specs = [TopicSpec(name=topic_prefix + name, partitions=PARTITIONS, config={}) for name in names]
    kafka_broker.admin().ensure_topics(specs)
    environment = {**os.environ, "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers}
    return Site(kafka_broker, topic_prefix, environment)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


class Tee(SpanExporter):
    """Exports to the collector and remembers what was exported, and how that went."""

    def __init__(self, url: str) -> None:
        self.sent = InMemorySpanExporter()
        self.results: list[SpanExportResult] = []
        self._otlp = OTLPSpanExporter(f"{url}/v1/traces")

    def export(self, spans: object) -> SpanExportResult:
        self.sent.export(spans)  # type: ignore[arg-type]
        self.results.append(self._otlp.export(spans))  # type: ignore[arg-type]
        return self.results[-1]

    def shutdown(self) -> None:
        self._otlp.shutdown()  # type: ignore[no-untyped-call]  # of the SDK


Row = tuple[str, str, str, str, int, int, int, int, bytes, bytes, bytes]


def row_of(one: ReadableSpan) -> Row:
    """A span of the SDK as the row that it should become."""
    assert one.context is not None
    assert one.start_time is not None
    assert one.end_time is not None
    assert one.attributes is not None
    start_us, end_us = one.start_time // 1000, one.end_time // 1000
    return (
        str(one.resource.attributes["service.name"]),
        str(one.resource.attributes["service.instance.id"]),
        one.name,
        str(one.attributes.get("peer.service", "")),
        start_us,
        end_us - start_us,
        one.kind.value + 1,
        int(one.status.status_code is StatusCode.ERROR),
        one.context.trace_id.to_bytes(16, "big"),
        one.context.span_id.to_bytes(8, "big"),
        one.parent.span_id.to_bytes(8, "big") if one.parent else bytes(8),
    )


def rows_of(batch: SpanBatch) -> Iterator[Row]:
    """The rows of a batch."""
    columns = span_columns(batch)
    for index in range(record_count(batch)):
        yield (
            batch.service,
            batch.instances[columns.instance[index]],
            batch.endpoints[columns.endpoint[index]],
            batch.peers[columns.peer[index]],
            int(columns.time_us[index] - columns.duration_us[index]),
            int(columns.duration_us[index]),
            int(columns.kind[index]),
            int(columns.error[index]),
            batch.trace_id[16 * index : 16 * index + 16],
            batch.span_id[8 * index : 8 * index + 8],
            batch.parent_id[8 * index : 8 * index + 8],
        )


def span_batches(site: Site) -> list[SpanBatch]:
    return [decode_as(SpanBatch, each.value) for each in site.messages(TELEMETRY_TRACES) if each.value]


def test_spans_of_the_real_sdk_arrive_as_they_were_sent(site: Site) -> None:
    with site.collector() as process:
        tee = Tee(site.url)
        origin = Resource.create({"service.name": "frontend", "service.instance.id": "frontend-0"})
        provider = TracerProvider(resource=origin, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(tee))
        tracer = provider.get_tracer("test")
        for number in range(10):
            with tracer.start_as_current_span("Checkout", kind=SpanKind.SERVER) as server:
                attributes = {"peer.service": "cart"}
                with tracer.start_as_current_span("GetCart", kind=SpanKind.CLIENT, attributes=attributes):
                    pass
                if number % 3 == 0:
                    server.set_status(StatusCode.ERROR)
        provider.shutdown()
        assert set(tee.results) == {SpanExportResult.SUCCESS}
        found = [row for batch in span_batches(site) for row in rows_of(batch)]
        assert sorted(found) == sorted(map(row_of, tee.sent.get_finished_spans()))
        graph = eventually(
            lambda: site.messages(SERVICE_GRAPH), timeout_s=PATIENCE_S, what="the service graph"
        )
        edges = [decode_as(ServiceGraph, each.value or b"") for each in graph]
        assert {(each.callers, each.callees) for each in edges} == {(("frontend",), ("cart",))}
        stop(process)


def test_calls_of_the_real_sdk_without_a_peer_find_their_service(site: Site) -> None:
    """As every agent sends them: each service from a provider of its own, in batches of its own."""
    with site.collector() as process:
        providers = [_provider(site, service) for service in ("frontend", "cart")]
        frontend, cart = [provider.get_tracer("test") for provider in providers]
        address: dict[str, str | int] = {"server.address": "127.0.0.1", "server.port": 7102}
        for _ in range(5):
            with (
                frontend.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes=address),
                cart.start_as_current_span("GET /cart", kind=SpanKind.SERVER),
            ):
                pass
            # The caller's spans come first, so that its call has to wait for the answer.
            for provider in providers:
                assert provider.force_flush()
        for provider in providers:
            provider.shutdown()
        graph = eventually(
            lambda: site.messages(SERVICE_GRAPH), timeout_s=PATIENCE_S, what="the service graph"
        )
        stop(process)
    edges = [decode_as(ServiceGraph, each.value or b"") for each in graph]
    assert {(each.callers, each.callees) for each in edges} == {(("frontend",), ("cart",))}
    peers = {batch.service: set(batch.peers) for batch in span_batches(site)}
    assert peers == {"frontend": {"cart"}, "cart": {""}}


def _provider(site: Site, service: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{site.url}/v1/traces"), schedule_delay_millis=50)
    )
    return provider


def test_logs_and_metrics_of_the_target_arrive(site: Site) -> None:
    with site.collector() as process:
        began_us = now_us()
        telemetry = Instrumentation(service="cart", instance="cart-0", otlp_url=site.url)
        telemetry.counter("http.server.request.count", lambda: 7.0)
        with telemetry.tracer.start_as_current_span("GetCart") as current:
            telemetry.log("ERROR", "GetCart failed after 12 ms", current)
        assert telemetry.shutdown(PATIENCE_S)
        stop(process)
    (line,) = [decode_as(LogBatch, each.value) for each in site.messages(TELEMETRY_LOGS) if each.value]
    assert (line.service, line.instances, line.bodies) == (
        "cart",
        ("cart-0",),
        ("GetCart failed after 12 ms",),
    )
    assert line.templates == ("GetCart failed after <*> ms",)
    assert log_columns(line).severity.tolist() == [17]
    assert began_us <= log_columns(line).time_us[0] <= now_us()
    context = current.get_span_context()
    assert line.trace_id == context.trace_id.to_bytes(16, "big")
    assert line.span_id == context.span_id.to_bytes(8, "big")
    of_cart = _of(site, "cart")
    # The counter began while the collector watched, so its first point says what was added since.
    assert {batch.names for batch in of_cart} == {("http.server.request.count.rate",)}
    columns = metric_columns(of_cart[0])
    assert columns.value[0] * columns.interval_us[0] / 1e6 == pytest.approx(7.0)
    (who,) = [
        told
        for each in site.messages(SERVICE_INSTANCES)
        if each.value and (told := decode_as(ServiceInstance, each.value)).service == "cart"
    ]
    assert (who.instance, who.kind, who.language) == ("cart-0", "service", "python")
    assert _of(site, "host")


class Sender:
    """Sends numbered spans one request after another, each until it is acknowledged, until told to end."""

    def __init__(self, site: Site, number: int) -> None:
        self.acknowledged: set[int] = set()
        self.end = threading.Event()
        self._site = site
        self._service = f"service-{number}"
        self._numbers = itertools.count(1 + number * 1_000_000)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self.end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self.end.is_set():
            numbers = list(itertools.islice(self._numbers, 20))
            spans = [span(now_us() - 2000, number=number) for number in numbers]
            body = traces(spans, resource(self._service)).SerializeToString()
            while not (sent := self._send(body)) and not self.end.wait(0.05):
                pass
            if sent:
                self.acknowledged.update(numbers)

    def _send(self, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._site.otlp_port, timeout=PATIENCE_S)
        try:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def test_nothing_acknowledged_is_lost_when_the_collector_is_killed(site: Site) -> None:
    senders = [Sender(site, number) for number in range(6)]
    try:
        for _ in range(2):
            with site.collector() as process:
                wait_for_more(senders)
                process.kill()
                process.wait()
        with site.collector() as process:
            wait_for_more(senders)
            for sender in senders:
                sender.join()
            stop(process)
    finally:
        for sender in senders:
            sender.join()
    messages = site.messages(TELEMETRY_TRACES)
    batches = [decode_as(SpanBatch, each.value) for each in messages if each.value]
    found = {int.from_bytes(row[9], "big") for batch in batches for row in rows_of(batch)}
    assert _acknowledged(senders) <= found
    for topic in JOINED:
        assert_stamps_are_contiguous(site.messages(topic))


def wait_for_more(senders: list[Sender]) -> None:
    """Waits until some hundred spans more are acknowledged."""
    enough = len(_acknowledged(senders)) + 300
    eventually(lambda: len(_acknowledged(senders)) > enough, timeout_s=PATIENCE_S, what="acknowledged spans")


def _acknowledged(senders: list[Sender]) -> set[int]:
    return set().union(*(set(sender.acknowledged) for sender in senders))


def assert_stamps_are_contiguous(messages: list[Message]) -> None:
    by_partition: dict[int, list[Message]] = {}
    for message in messages:
        by_partition.setdefault(message.partition, []).append(message)
    assert set(by_partition) == set(range(PARTITIONS))
    for found in by_partition.values():
        stamps = [Stamp.read(message.headers) for message in found]
        assert [stamp.sequence for stamp in stamps] == list(range(len(stamps)))
        assert [stamp.watermark_us for stamp in stamps] == sorted(stamp.watermark_us for stamp in stamps)
        totals = itertools.accumulate(_records(message) for message in found)
        assert [stamp.total for stamp in stamps] == list(totals)


def _records(message: Message) -> int:
    if message.value is None:
        return 0
    record = decode(message.value)
    assert isinstance(record, MetricBatch | LogBatch | SpanBatch | ServiceInventory)
    # What is known of a service is no record that is counted.
    return 0 if isinstance(record, ServiceInventory) else record_count(record)


def test_processes_of_the_target_are_measured_each_second(site: Site, tmp_path: Path) -> None:
    state = tmp_path / "target.json"
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as child:
        up = local_instance("cart-0", pid=child.pid, started_at_us=now_us())
        write_state(state, target_state(up, local_instance("ad-0", pid=None)))
        site.watch(state)
        with site.collector() as process:
            batches = eventually(lambda: _seconds(site, "cart", 4), timeout_s=PATIENCE_S, what="four samples")
            stop(process)
        child.kill()
    times = sorted({at for batch in batches for at in metric_columns(batch).time_us.tolist()})
    gaps_us = [later - early for early, later in itertools.pairwise(times)]
    assert min(gaps_us) > 0
    assert {name for batch in batches for name in batch.names} >= {
        "process.cpu.utilization",
        "process.memory.usage",
        "service.instances.running",
        "process.restarts",
    }
    assert {batch.instances for batch in _of(site, "ad")} == {("",)}


def _of(site: Site, service: str) -> list[MetricBatch]:
    found = [decode(each.value) for each in site.messages(TELEMETRY_METRICS) if each.value]
    return [batch for batch in found if isinstance(batch, MetricBatch) and batch.service == service]


def _seconds(site: Site, service: str, count: int) -> list[MetricBatch]:
    """The batches of a service once there are so many of them; [] before."""
    found = _of(site, service)
    return found if len(found) >= count else []
