"""Three real instances in a row, front -> middle -> store, and a small OTLP receiver."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_receiver import Receiver, attributes

from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.platforms.local.meter import ProcessMeter, Wanted
from microservo.testing import eventually

pytestmark = pytest.mark.integration

DEADLINE_S = 120.0
TOKEN = {"Authorization": "Bearer token-of-the-test"}
ENVIRONMENT = {**os.environ, "MICROSERVO_CONTROL_TOKEN": "token-of-the-test"}
SERVICES = ("front", "middle", "store")
TOPOLOGY = Path(__file__).with_name("workload_row.toml")
# Without a proxy, whatever the environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Row:
    """The three instances and how to talk to them."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder = folder
        self.receiver = receiver
        self.ports = {name: tuple(free_ports(2)) for name in SERVICES}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        peers = {name: [f"http://127.0.0.1:{port}"] for name, (port, _) in self.ports.items()}
        (folder / "peers.json").write_text(json.dumps(peers))

    def start(self, name: str) -> None:
        port, control_port = self.ports[name]
        arguments = [sys.executable, "-m", "services.workload", "--topology", str(TOPOLOGY)]
        arguments += ["--service", name, "--instance", f"{name}-0", "--port", str(port), "--seed", "7"]
        arguments += ["--control-port", str(control_port), "--peers", str(self.folder / "peers.json")]
        arguments += ["--data", str(self.folder / "data" / name)]
        arguments += ["--otlp", self.receiver.url]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(arguments, stdout=log, env=ENVIRONMENT)
        wait_healthy(control_port)

    def stop(self, name: str) -> int:
        self.processes[name].terminate()
        return self.processes[name].wait(DEADLINE_S)

    def ask(self, name: str, endpoint: str, key: str = "", request_id: str = "") -> tuple[int, str, float]:
        """Status, trace id and seconds of one request; status 0 where its connection was lost."""
        trace_id = os.urandom(16).hex()
        headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01", "x-request-id": request_id}
        started_s = time.perf_counter()
        url = f"http://127.0.0.1:{self.ports[name][0]}/{endpoint}?key={key or trace_id}"
        try:
            status, _ = http("POST", url, headers=headers)
        except ConnectionError:
            status = 0
        return status, trace_id, time.perf_counter() - started_s

    def control(self, name: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else None
        status, text = http(method, f"http://127.0.0.1:{self.ports[name][1]}{path}", data, TOKEN)
        return status, json.loads(text)

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / f"{name}.log").read_text().splitlines()]

    def spans(self, trace_id: str, count: int) -> list[tuple[str, Span]]:
        """The spans of a trace, once there are `count` of them."""

        def find() -> list[tuple[str, Span]]:
            return [(name, span) for name, span in self.receiver.spans if span.trace_id.hex() == trace_id]

        return eventually(lambda: spans if len(spans := find()) >= count else [], timeout_s=DEADLINE_S)

    def logs(self, trace_id: str, severity: str) -> list[tuple[str, Any]]:
        """The log records of a trace that have this severity, so far."""
        found = [pair for pair in self.receiver.logs if pair[1].trace_id.hex() == trace_id]
        return [pair for pair in found if pair[1].severity_text == severity]

    def logged(self, trace_id: str, severity: str, count: int = 1) -> list[tuple[str, Any]]:
        """The same, once there are `count` of them."""

        def find() -> list[tuple[str, Any]]:
            logs = self.logs(trace_id, severity)
            return logs if len(logs) >= count else []

        return eventually(find, timeout_s=DEADLINE_S)


def http(method: str, url: str, data: bytes | None = None, headers: Any = None) -> tuple[int, str]:
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})  # noqa: S310
    try:
        with OPENER.open(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_healthy(control_port: int) -> None:
    def healthy() -> bool:
        try:
            return http("GET", f"http://127.0.0.1:{control_port}/healthz")[0] == 200
        except OSError:
            return False

    eventually(healthy, timeout_s=DEADLINE_S, what=f"health on control port {control_port}")


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Row]:
    receiver = Receiver()
    serving = threading.Thread(target=receiver.server.serve_forever)
    serving.start()
    row = Row(tmp_path_factory.mktemp("row"), receiver)
    try:
        for name in SERVICES:
            row.start(name)
        yield row
    finally:
        for process in row.processes.values():
            process.kill()
            process.wait()
        receiver.server.shutdown()
        serving.join()
        receiver.server.server_close()


def test_one_trace_runs_through_all_three_services(row: Row) -> None:
    status, trace_id, _ = row.ask("front", "Page")
    assert status == 200
    spans = row.spans(trace_id, 5)
    seen = {(service, span.name, Span.SpanKind.Name(span.kind)) for service, span in spans}
    assert seen == {
        ("front", "Page", "SPAN_KIND_SERVER"),
        ("front", "Work", "SPAN_KIND_CLIENT"),
        ("middle", "Work", "SPAN_KIND_SERVER"),
        ("middle", "Get", "SPAN_KIND_CLIENT"),
        ("store", "Get", "SPAN_KIND_SERVER"),
    }
    parents = {span.span_id: span.parent_span_id for _, span in spans}
    root = next(span for service, span in spans if service == "front" and span.name == "Page")
    assert sum(parent in parents for parent in parents.values()) == 4, "each span but the first hangs on one"
    assert root.parent_span_id.hex() == "00f067aa0ba902b7"
    callees = {attributes(span.attributes).get("peer.service") for _, span in spans}
    assert callees == {None, "middle", "store"}
    assert {attributes(span.attributes)["http.response.status_code"] for _, span in spans} == {200}
    assert row.receiver.compressed


def test_log_lines_are_json_with_the_trace_id_and_go_out_by_otlp_too(row: Row) -> None:
    _, trace_id, _ = row.ask("front", "Page")
    records = row.logged(trace_id, "INFO", 3)
    for service, record in records:
        line = next(line for line in row.lines(service) if line.get("trace_id") == trace_id)
        assert line["message"] == record.body.string_value
        assert line["span_id"] == record.span_id.hex()
        assert (line["level"], line["service"], line["instance"]) == ("INFO", service, f"{service}-0")


def test_metrics_arrive_and_agree_with_the_control_port(row: Row) -> None:
    for _ in range(3):
        row.ask("front", "Page", key="same")
    receiver = row.receiver
    names = ("request.count", "request.errors", "active_requests", "duration")
    wanted = {"cache.hit_ratio", *(f"http.server.{name}" for name in names)}
    eventually(
        lambda: wanted <= {name for service, name, _ in receiver.metrics if service == "middle"},
        timeout_s=DEADLINE_S,
    )
    eventually(
        lambda: any(name == "cache.hit_ratio" and value for _, name, value in receiver.metrics),
        timeout_s=DEADLINE_S,
    )
    _, text = http("GET", f"http://127.0.0.1:{row.ports['store'][1]}/metrics")
    count = next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith("http_server_request_c")
    )
    reading = ("store", "http.server.request.count", count)
    eventually(lambda: reading in receiver.metrics, timeout_s=DEADLINE_S)


def test_an_exception_shows_as_any_bug_would_and_goes(row: Row) -> None:
    body = {"kind": "app-exception", "parameters": {"ratio": 1.0, "endpoint": "Get"}}
    status, answer = row.control("store", "PUT", "/faults/f-1", body)
    assert status == 200
    assert row.control("store", "PUT", "/faults/f-1", body) == (200, answer)
    failed, trace_id, _ = row.ask("front", "Page")
    assert failed == 500, "the failure of the store goes up through middle to the user"
    logs = row.logged(trace_id, "ERROR", 3)
    detail = next(attributes(record.attributes) for service, record in logs if service == "store")
    assert detail["exception.type"] == "KeyError"
    assert "Traceback" in detail["exception.stacktrace"]
    assert "fault" not in detail["exception.stacktrace"], "nothing may tell an injected bug from another"
    spans = row.spans(trace_id, 5)
    assert {span.status.code for _, span in spans} == {Status.STATUS_CODE_ERROR}
    assert row.control("store", "DELETE", "/faults/f-1")[0] == 200
    assert row.ask("front", "Page")[0] == 200


def test_a_cpu_hog_makes_requests_wait_for_their_turn_and_is_over_when_asked(row: Row) -> None:
    meter = ProcessMeter(time.monotonic)
    store = {"store": Wanted(pid=row.processes["store"].pid, started_at_us=2**52)}

    def quick_s() -> float:
        """How long the quicker ones took: what else runs on this machine makes some wait in any case."""
        return statistics.quantiles((row.ask("store", "Get")[2] for _ in range(40)), n=4)[0]

    def cores() -> float:
        return meter.read(store)["store"].get("process.cpu.utilization", 0.0)

    def slows_down() -> bool:
        calm_s = quick_s()
        body = {"kind": "cpu-hog", "parameters": {"workers": 2, "load_ratio": 1.0}}
        asked_us = now_us()
        status, answer = row.control("store", "PUT", "/faults/f-2", body)
        try:
            assert status == 200
            assert answer["applied_at_us"] - asked_us < 200_000, "it is in force when the processes run"
            # What else runs on this machine takes its part of the core.
            eventually(lambda: cores() > 0.1, interval_s=0.5, timeout_s=DEADLINE_S, what="burnt CPU")
            slow_s = quick_s()
        finally:
            asked_us = now_us()
            status, answer = row.control("store", "DELETE", "/faults/f-2")
        assert status == 200
        assert answer["recovered_at_us"] - asked_us < 1_000_000
        assert slow_s < 20 * calm_s + 0.1, "requests wait for their turn, not for a lock"
        return sys.platform != "linux" or slow_s > 1.3 * calm_s

    eventually(slows_down, timeout_s=DEADLINE_S, what="requests that take 1.3 times as long under a cpu-hog")


def test_a_memory_hog_holds_memory_and_gives_it_back(row: Row) -> None:
    memory = psutil.Process(row.processes["store"].pid).memory_info
    size, calm = 96 * 2**20, memory().rss
    body = {"kind": "memory-hog", "parameters": {"bytes": size}}
    assert row.control("store", "PUT", "/faults/f-3", body)[0] == 200
    held = memory().rss
    assert held - calm > 0.9 * size
    assert row.ask("store", "Get")[0] == 200
    assert row.control("store", "DELETE", "/faults/f-3")[0] == 200
    assert held - memory().rss > 0.9 * size


def test_what_goes_wrong_by_itself_looks_like_what_goes_wrong_by_a_fault(row: Row) -> None:
    broken, trace_id, _ = row.ask("store", "Broken")
    assert broken == 500
    natural = row.logged(trace_id, "ERROR")[0][1]
    body = {"kind": "app-exception", "parameters": {"ratio": 1.0, "endpoint": "Get"}}
    row.control("store", "PUT", "/faults/f-7", body)
    _, trace_id, _ = row.ask("store", "Get")
    row.control("store", "DELETE", "/faults/f-7")
    injected = row.logged(trace_id, "ERROR")[0][1]
    assert attributes(injected.attributes) == attributes(natural.attributes)
    assert injected.body.string_value.replace("Get", "Broken") == natural.body.string_value


@pytest.mark.parametrize(
    ("endpoint", "status", "warned"),
    [
        ("Busy", 503, "Busy turned away, too many requests are in flight"),
        ("Reset", 0, "Reset lost its connection, the worker is recycled"),
        ("Warned", 200, "thing of a is old"),
    ],
)
def test_a_service_without_faults_warns_of_what_the_topology_states(
    row: Row, endpoint: str, status: int, warned: str
) -> None:
    answered, trace_id, _ = row.ask("store", endpoint, key="a")
    assert answered == status
    assert row.logged(trace_id, "WARNING")[0][1].body.string_value == warned


def test_a_request_meets_the_same_whenever_it_comes(row: Row) -> None:
    def statuses() -> list[int]:
        return [row.ask("store", "Moody", request_id=f"{number}.0")[0] for number in range(16)]

    first = statuses()
    assert set(first) == {200, 503}
    row.ask("store", "Moody")
    assert statuses() == first


WORKLOAD_FAULTS: dict[str, dict[str, object]] = {
    "app-exception": {"ratio": 0.5, "endpoint": "Get"},
    "cpu-hog": {"workers": 3, "load_ratio": 1.0},
    "memory-hog": {"bytes": 64 * 2**20},
}
TELLTALES = ("fault", "hog", "inject", "exception:", "spoil", "chaos", "burn", "ballast")


@dataclass(frozen=True)
class Look:
    """What the telemetry of the store looks like, apart from when it was."""

    messages: frozenset[str]
    attributes: frozenset[str]
    metrics: frozenset[str]
    levels: tuple[float, float]
    """Threads and open files."""
    memory_bytes: float

    def telltales(self) -> set[str]:
        """Whatever names a fault."""
        words = {*self.messages, *self.attributes, *self.metrics}
        return {word for word in words if any(tale in word.lower() for tale in TELLTALES)}


def look(row: Row, meter: ProcessMeter) -> Look:
    """The telemetry of twenty requests to the store."""
    store = {"store": Wanted(pid=row.processes["store"].pid, started_at_us=2**52)}
    before = len(row.receiver.metrics)
    traces = {row.ask("store", "Get")[1] for _ in range(20)}

    def own(pairs: list[tuple[str, Any]]) -> list[Any]:
        return [item for name, item in pairs if name == "store" and item.trace_id.hex() in traces]

    # More where an exporter that got no answer in time has sent some twice.
    eventually(
        lambda: min(len(own(row.receiver.spans)), len(own(row.receiver.logs))) >= 20,
        timeout_s=DEADLINE_S,
        what="the spans and lines of all requests",
    )
    eventually(
        lambda: ("store", "http.server.duration") in {pair[:2] for pair in row.receiver.metrics[before:]},
        timeout_s=DEADLINE_S,
    )
    used = meter.read(store)["store"]
    spans, logs = own(row.receiver.spans), own(row.receiver.logs)
    texts = [log.body.string_value for log in logs]
    return Look(
        messages=frozenset(re.sub(r"[0-9.]+", "#", text) for text in texts),
        attributes=frozenset(f"{key}={value}" for span in spans for key, value in _told(span))
        | frozenset(f"{key}={value}" for log in logs for key, value in _told(log)),
        metrics=frozenset(name for service, name, _ in row.receiver.metrics[before:] if service == "store")
        | used.keys(),
        levels=(used["process.threads"], used["process.open_file_descriptors"]),
        memory_bytes=used["process.memory.usage"],
    )


def _told(item: Any) -> Iterator[tuple[str, object]]:
    """What a span or line says besides its time and ids."""
    yield from attributes(item.attributes).items()
    if isinstance(item, Span):
        yield "status", item.status.message
        for event in item.events:
            yield from attributes(event.attributes).items()


@pytest.mark.parametrize("kind", WORKLOAD_FAULTS)
def test_a_fault_leaves_nothing_behind_and_nothing_names_it_meanwhile(row: Row, kind: str) -> None:
    meter = ProcessMeter(time.monotonic)
    look(row, meter)
    before = look(row, meter)
    body = {"kind": kind, "parameters": WORKLOAD_FAULTS[kind]}
    assert row.control("store", "PUT", "/faults/f-6", body)[0] == 200
    during = look(row, meter)
    assert row.control("store", "DELETE", "/faults/f-6")[0] == 200
    after = look(row, meter)
    assert during.telltales() == set()
    assert during.levels == before.levels, "nothing but the effect shows: no thread and no file more"
    assert during.metrics == before.metrics
    assert replace(after, memory_bytes=0) == replace(before, memory_bytes=0)
    assert after.memory_bytes == pytest.approx(before.memory_bytes, abs=2 * 2**20)
    if kind == "memory-hog":
        assert during.memory_bytes - before.memory_bytes > 63 * 2**20
    else:
        assert during.memory_bytes - before.memory_bytes < 3 * 2**20, "nor memory, but of a memory-hog"


def test_the_control_port_refuses_with_reasons(row: Row) -> None:
    good = {"kind": "app-exception", "parameters": {"ratio": 0.0, "endpoint": ""}}
    other = {"kind": "app-exception", "parameters": {"ratio": 0.1, "endpoint": ""}}
    assert row.control("store", "PUT", "/faults/f-4", good)[0] == 200
    assert row.control("store", "PUT", "/faults/f-4", other)[0] == 409
    _, listing = row.control("store", "GET", "/faults")
    assert [(fault["id"], fault["kind"]) for fault in listing["faults"]] == [("f-4", "app-exception")]
    recovered = row.control("store", "DELETE", "/faults/f-4")
    assert recovered[0] == 200
    assert row.control("store", "DELETE", "/faults/f-4") == recovered, "the first instant, not that of now"
    assert row.control("store", "DELETE", "/faults/never")[1]["evidence"] == "was not active"
    address = f"http://127.0.0.1:{row.ports['store'][1]}/faults"
    assert http("GET", address)[0] == 401
    assert http("GET", address, headers={**TOKEN, "Host": "evil.example"})[0] == 403
    refused: tuple[object, ...] = (
        {"kind": "nap"},
        {"parameters": {}},
        [],
        {"kind": "cpu-hog", "parameters": []},
    )
    for bad in refused:
        status, answer = row.control("store", "PUT", "/faults/f-5", bad)
        assert (status, bool(answer["error"])) == (422, True)


def test_a_dependency_that_hangs_or_dies_shows_in_its_caller(row: Row) -> None:
    row.processes["middle"].send_signal(signal.SIGSTOP)
    status, hung, _ = row.ask("front", "Page")
    assert status == 500
    row.processes["middle"].send_signal(signal.SIGKILL)
    row.processes.pop("middle").wait(DEADLINE_S)
    status, dead, _ = row.ask("front", "Page")
    assert status == 500
    lenient, degraded, _ = row.ask("front", "Lenient")
    assert lenient == 200, "what is optional may fail"
    row.start("middle")
    assert row.ask("front", "Page")[0] == 200

    for trace_id, error, reported in (
        (hung, "TimeoutError", "timed out after 2000 ms"),
        (dead, "ClientConnectorError", "lost its connection"),
    ):
        spans = row.spans(trace_id, 3)
        calls = [span for _, span in spans if span.kind == Span.SPAN_KIND_CLIENT]
        assert len(calls) == 2, "the retry is a span of its own"
        assert {attributes(call.attributes)["error.type"] for call in calls} == {error}
        assert {call.status.code for call in calls} == {Status.STATUS_CODE_ERROR}
        assert all(reported in call.status.message for call in calls)
        warned = row.logged(trace_id, "WARNING")
        assert attributes(warned[0][1].attributes)["exception.type"].endswith(error)
        assert row.logged(trace_id, "ERROR")
    assert row.logged(degraded, "WARNING")
    assert not row.logs(degraded, "ERROR")


def test_users_come_at_an_adjustable_rate_and_their_traces_begin_with_them(row: Row) -> None:
    control_port = free_ports(1)[0]
    arguments = [sys.executable, "-m", "services.loadgen", "--topology", str(TOPOLOGY)]
    arguments += ["--entry-url", f"http://127.0.0.1:{row.ports['front'][0]}", "--rate", "0", "--seed", "7"]
    arguments += ["--otlp", row.receiver.url, "--control-port", str(control_port)]
    with (row.folder / "loadgen.log").open("ab") as log:
        loadgen = subprocess.Popen(arguments, stdout=log, env=ENVIRONMENT)
    try:
        wait_healthy(control_port)
        rate = f"http://127.0.0.1:{control_port}/rate"
        assert http("PUT", rate, b'{"journeys_per_s": 50}')[0] == 401
        assert http("PUT", rate, b'{"journeys_per_s": -1}', TOKEN)[0] == 422
        assert json.loads(http("PUT", rate, b'{"journeys_per_s": 50}', TOKEN)[1]) == {"journeys_per_s": 50.0}
        receiver = row.receiver
        users = eventually(
            lambda: [span for name, span in receiver.spans if name == "loadgen"], timeout_s=DEADLINE_S
        )
        assert attributes(users[0].attributes)["peer.service"] == "front"
        assert users[0].kind == Span.SPAN_KIND_CLIENT
        trace_id = users[0].trace_id

        def services() -> set[str]:
            return {name for name, span in receiver.spans if span.trace_id == trace_id}

        eventually(lambda: services() >= {"loadgen", "front", "middle"}, timeout_s=DEADLINE_S)
    finally:
        loadgen.terminate()
        assert loadgen.wait(DEADLINE_S) == 0


def test_an_instance_stops_in_order_with_or_without_a_collector(row: Row) -> None:
    collector, nobody = row.receiver.url, f"http://127.0.0.1:{free_ports(1)[0]}"
    _, trace_id, _ = row.ask("store", "Get")
    assert row.stop("store") == 0
    row.receiver.url = nobody
    row.start("store")
    row.receiver.url = collector
    assert {row.ask("store", "Get")[0] for _ in range(50)} == {200}
    assert row.stop("store") == 0
    row.start("store")
    assert row.logged(trace_id, "INFO"), "what was waiting is sent on the way out"
    assert "store-0 is stopping" in {line["message"] for line in row.lines("store")}
