"""Faults of connections, answers, names, calls and users on one target of real processes, side by side.

Each fault has a service of its own, so several are in force at once; how many calls are looked at is fixed,
how long that takes is not. What is asserted is read from the spans that the target sends::

                  ┌► leaf1 .. leaf3        faults of a sidecar
    loadgen ► front ► limited ◄─┐
                  └► mid1 .. mid3 ► base   faults of callers
"""

from __future__ import annotations

import gzip
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from microservo.adapters.clock import now_us
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.topology_file import load_topology
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import read_state
from microservo.platforms.mechanism import Confirmation
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually

pytestmark = pytest.mark.integration

PATIENCE_S = 240.0
JOURNEYS_PER_S = 20.0
ENOUGH = 10
"""So many calls are looked at while a fault is in force, and half of them afterwards."""
LEAVES = ("leaf1", "leaf2", "leaf3", "limited")
MIDS = ("mid1", "mid2", "mid3")
TOPOLOGY = "\n".join(
    [
        'name = "wire"',
        'entry = "front"',
        *(
            f'[services.front.endpoints.Of_{name}]\ncalls = [ {{ service = "{name}", endpoint = "Get", '
            "timeout_ms = 1000 } ]"
            for name in (*LEAVES, *MIDS)
        ),
        *(f"[services.{name}.endpoints.Get]\nresponse_bytes = 3000" for name in LEAVES),
        *(
            f'[services.{name}.endpoints.Get]\ncalls = [ {{ service = "base", endpoint = "Put", '
            "timeout_ms = 400 } ]"
            for name in MIDS
        ),
        "[services.base.endpoints.Put]",
        "cpu_ms = 3.0",
        'calls = [ { service = "limited", endpoint = "Get", optional = true } ]',
        *(
            f'[[journeys]]\nname = "to_{name}"\nsteps = [ {{ endpoint = "Of_{name}" }} ]'
            for name in (*LEAVES, *MIDS)
        ),
    ]
)


class Seen(NamedTuple):
    """A span: of whom, to whom ("" of a server), since when and for how long, and whether it failed."""

    service: str
    peer: str
    start_us: int
    duration_ms: float
    failed: bool


class Receiver:
    """Takes the spans that are exported."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/traces":
                    receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A killed instance resets its connection; that is no error of the receiver.
        self.server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            spans = (span for scope in resource.scope_spans for span in scope.spans)
            self.spans += [_seen(names["service.name"], span) for span in spans]


def _seen(service: str, span: Span) -> Seen:
    peers = [each.value.string_value for each in span.attributes if each.key == "peer.service"]
    return Seen(
        service=service,
        peer=peers[0] if peers else "",
        start_us=span.start_time_unix_nano // 1000,
        duration_ms=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
    )


@dataclass(frozen=True)
class InForce:
    """A fault that was in force, and the spans that began and ended meanwhile."""

    applied: Confirmation
    recovered: Confirmation
    spans: Sequence[Seen]

    def calls(self, service: str, peer: str) -> list[Seen]:
        return [each for each in self.spans if (each.service, each.peer) == (service, peer)]

    def failed_share(self, service: str, peer: str) -> float:
        calls = self.calls(service, peer)
        return sum(each.failed for each in calls) / len(calls)

    def served(self, service: str) -> list[Seen]:
        return self.calls(service, "")


class Target:
    """The target, and the faults that are put on it."""

    def __init__(self, state_file: Path, receiver: Receiver) -> None:
        self.state_file = state_file
        self.platform = LocalPlatform(state_file)
        self.recovered: dict[str, Confirmation] = {}
        self._receiver = receiver

    def spans(self, service: str, peer: str, from_us: int, until_us: int = 2**62) -> list[Seen]:
        """Calls from one service to another, in the order in which they were sent."""
        return [
            each
            for each in list(self._receiver.spans)
            if (each.service, each.peer) == (service, peer) and from_us <= each.start_us < until_us
        ]

    def await_calls(self, service: str, peer: str, from_us: int, count: int) -> None:
        eventually(
            lambda: len(self.spans(service, peer, from_us)) >= count,
            timeout_s=PATIENCE_S,
            what=f"{count} calls from {service} to {peer}",
        )

    def await_normal(self, service: str, peer: str, from_us: int) -> None:
        """Waits until the last calls have gone well."""

        def is_normal() -> bool:
            last = self.spans(service, peer, from_us)[-ENOUGH // 2 :]
            return len(last) == ENOUGH // 2 and not any(each.failed for each in last)

        eventually(is_normal, timeout_s=PATIENCE_S, what=f"calls from {service} to {peer} to go well again")

    @contextmanager
    def fault(self, service: str, kind: str, **parameters: str) -> Iterator[Confirmation]:
        """Puts a fault in force, and out of it."""
        wire = KINDS[kind].from_text(parameters).wire()
        (mechanism,) = self.platform.mechanisms(kind)
        applied = mechanism.apply(f"{service}-0", kind, wire)
        assert mechanism.holds(f"{service}-0", kind, wire), kind
        try:
            yield applied
        finally:
            self.recovered[kind] = mechanism.recover(f"{service}-0", kind, wire)
            assert not mechanism.holds(f"{service}-0", kind, wire), kind

    def run(self, *faults: tuple[str, str, Mapping[str, str]]) -> dict[str, InForce]:
        """Has faults, each on a service of its own, in force at once until each has met enough calls."""
        began_us, processes = now_us(), self.processes()
        ways = [self._way(service) for service, _, _ in faults]
        for caller, callee in ways:
            self.await_normal(caller, callee, began_us - 5_000_000)
        with ExitStack() as all_of_them:
            applied = {
                kind: all_of_them.enter_context(self.fault(service, kind, **given))
                for service, kind, given in faults
            }
            in_force_us = now_us()
            for caller, callee in ways:
                self.await_calls(caller, callee, in_force_us, ENOUGH)
            until_us = now_us()
        over_us = now_us()
        for caller, callee in ways:
            self.await_normal(caller, callee, over_us)
        assert self.processes() == processes, "a fault of the wire restarts nobody"
        # One that is under way at the end may go well after all.
        spans = [
            each
            for each in list(self._receiver.spans)
            if in_force_us <= each.start_us and each.start_us + 1000 * each.duration_ms < until_us
        ]
        for kind, confirmed in applied.items():
            assert began_us <= confirmed.at_us <= in_force_us, kind
            assert until_us <= self.recovered[kind].at_us <= over_us, kind
        return {kind: InForce(applied[kind], self.recovered[kind], spans) for kind in applied}

    def _way(self, service: str) -> tuple[str, str]:
        """Whose calls to whom a fault shows in."""
        return (service, "base") if service in MIDS else ("front", service)

    def in_force(self) -> list[object]:
        """The faults that any process of the target says are in force."""
        state = read_state(self.state_file)
        urls = [url for each in state.instances for url in (each.control_url, each.sidecar_url)]
        pages = [
            ControlClient(url, state.control_token).call("GET", "/faults")
            for url in (*urls, state.loadgen.control_url)
        ]
        return [fault for page in pages for fault in page["faults"]]

    def processes(self) -> dict[str, tuple[int | None, int | None]]:
        return {each.id: (each.pid, each.sidecar_pid) for each in read_state(self.state_file).instances}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("wire")
    (home / "wire.toml").write_text(TOPOLOGY)
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    with Supervisor() as supervisor:
        runner = LocalTargetRunner(
            supervisor,
            topology=load_topology(TOPOLOGY, "wire.toml"),
            topology_path=home / "wire.toml",
            state_file=home / "run" / "target.json",
            otlp_url=receiver.url,
            log_dir=home / "logs",
            seed=7,
            journeys_per_s=JOURNEYS_PER_S,
        )
        runner.start()
        runner.wait_ready(PATIENCE_S)
        yield Target(home / "run" / "target.json", receiver)
    runner.close()
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture(autouse=True)
def nothing_is_left_behind(target: Target) -> Iterator[None]:
    yield
    assert target.in_force() == []
    assert _children(target) == 0, "nobody has children, and no fault gives them any"


def _children(target: Target) -> int:
    pids = [pid for both in target.processes().values() for pid in both if pid is not None]
    return sum(len(psutil.Process(pid).children(recursive=True)) for pid in pids)


def test_answers_that_are_changed_cut_or_refused_fail_the_calls_of_whoever_asked(target: Target) -> None:
    found = target.run(
        ("leaf1", "http-replace", {"status": "500"}),
        ("leaf2", "http-patch", {"field": "endpoint"}),
        ("leaf3", "http-truncate", {"after": "1kB", "ratio": "100%"}),
    )
    for kind, leaf in (("http-replace", "leaf1"), ("http-patch", "leaf2"), ("http-truncate", "leaf3")):
        assert found[kind].failed_share("front", leaf) == 1, kind
        served = found[kind].served(leaf)
        assert len(served) >= ENOUGH / 2, f"{kind}: the requests reach the service"
        assert not any(each.failed for each in served), f"{kind}: it knows nothing of that"
        acted = found[kind].recovered.acted
        assert acted is not None
        assert acted >= ENOUGH, kind


def test_ports_and_connections_that_are_closed_keep_the_requests_away(target: Target) -> None:
    found = target.run(
        ("leaf1", "port-refuse", {}),
        ("leaf2", "connection-abort", {}),
        ("leaf3", "network-partition", {"peer": "front"}),
        ("limited", "connection-limit", {"connections": "1"}),
    )
    for kind, leaf in (
        ("port-refuse", "leaf1"),
        ("connection-abort", "leaf2"),
        ("network-partition", "leaf3"),
    ):
        assert found[kind].failed_share("front", leaf) == 1, kind
        assert not found[kind].served(leaf), f"{kind}: nothing reaches the service"
    assert all(each.duration_ms < 900 for each in found["port-refuse"].calls("front", "leaf1"))
    waited = found["network-partition"].calls("front", "leaf3")
    assert min(each.duration_ms for each in waited) > 900, "what vanishes is waited for until the time limit"
    # Both call `limited` on connections of their own, and one of them has none.
    limited = found["connection-limit"]
    shares = sorted(limited.failed_share(caller, "limited") for caller in ("front", "base"))
    assert shares[1] > 0.5, shares
    assert limited.recovered.acted


def test_what_comes_late_is_waited_for(target: Target) -> None:
    found = target.run(
        ("leaf1", "slow-close", {"delay": "150ms"}),
        ("leaf2", "network-reorder", {"latency": "150ms", "ratio": "50%"}),
        ("leaf3", "network-delay", {"latency": "150ms", "peer": "front"}),
        ("limited", "network-corrupt", {"ratio": "50%"}),
    )
    for kind, leaf in (("slow-close", "leaf1"), ("network-delay", "leaf3")):
        calls = found[kind].calls("front", leaf)
        assert min(each.duration_ms for each in calls) >= 150, kind
        assert min(each.duration_ms for each in found[kind].served(leaf)) < 150, f"{kind}: not in it"
    late = [each.duration_ms >= 150 for each in found["network-reorder"].calls("front", "leaf2")]
    assert sum(late) > len(late) / 2
    again = [each.duration_ms >= 200 for each in found["network-corrupt"].calls("front", "limited")]
    assert sum(again) > len(again) / 5, "what is damaged is sent again after 200 ms"


def test_callers_that_find_no_name_fail_before_anything_is_sent(target: Target) -> None:
    found = target.run(
        ("mid1", "dns-failure", {}),
        ("mid2", "dns-wrong-address", {"name": "base"}),
        ("mid3", "dns-delay", {"delay": "150ms"}),
    )
    for kind, mid in (("dns-failure", "mid1"), ("dns-wrong-address", "mid2")):
        assert found[kind].failed_share(mid, "base") == 1, kind
        assert found[kind].failed_share("front", mid) > 0.8, f"{kind}: its callers fail with it"
    calls = found["dns-delay"].calls("mid3", "base")
    assert min(each.duration_ms for each in calls) >= 150
    assert found["dns-delay"].failed_share("mid3", "base") < 0.5
    made = len(found["dns-delay"].calls("mid3", "base"))
    assert len(found["dns-delay"].served("base")) <= made + 2, "only those of mid3 arrive"


def test_callers_that_reach_nobody_wait_and_those_that_insist_come_again(target: Target) -> None:
    found = target.run(
        ("mid1", "dependency-blackhole", {"peer": "base"}),
        ("mid2", "retry-storm", {"retries": "5", "after": "1ms"}),
    )
    lost = found["dependency-blackhole"].calls("mid1", "base")
    assert all(each.failed for each in lost)
    assert min(each.duration_ms for each in lost) >= 300, "until the time limit"
    asked = found["retry-storm"].served("mid2")
    calls = found["retry-storm"].calls("mid2", "base")
    assert len(calls) > 3 * len(asked), "each of them is made six times"
    assert found["retry-storm"].failed_share("front", "mid2") > 0.8


def test_users_come_in_multiples_and_stay_away(target: Target) -> None:
    def served_per_s(lasts_us: int) -> float:
        from_us = now_us()
        eventually(lambda: now_us() > from_us + lasts_us + 1_500_000, timeout_s=PATIENCE_S, what="some time")
        return 1e6 * len(target.spans("loadgen", "front", from_us, from_us + lasts_us)) / lasts_us

    target.platform.set_load(5)
    usual = served_per_s(4_000_000)
    with target.fault("front", "load-spike", times="4"):
        many = served_per_s(4_000_000)
    with target.fault("front", "load-drop", ratio="100%"):
        none = served_per_s(2_000_000)
    target.platform.set_load(JOURNEYS_PER_S)
    assert none == 0
    assert 2 * usual < many < 8 * usual, (usual, many)


def test_a_fault_is_gone_with_the_process_that_was_killed(
    target: Target, request: pytest.FixtureRequest
) -> None:
    before = target.processes()
    wires = {kind: KINDS[kind].from_text({}).wire() for kind in ("port-refuse", "dependency-blackhole")}
    for kind, instance in (("port-refuse", "leaf1-0"), ("dependency-blackhole", "mid1-0")):
        (mechanism,) = target.platform.mechanisms(kind)
        mechanism.apply(instance, "f1", wires[kind])
    sidecar, instance_pid = before["leaf1-0"][1], before["mid1-0"][0]
    assert sidecar
    assert instance_pid
    os.kill(sidecar, signal.SIGKILL)
    os.kill(instance_pid, signal.SIGKILL)
    since_us = now_us()
    target.await_normal("front", "leaf1", since_us)
    target.await_normal("mid1", "base", since_us)
    for kind, instance in (("port-refuse", "leaf1-0"), ("dependency-blackhole", "mid1-0")):
        (mechanism,) = target.platform.mechanisms(kind)
        assert not mechanism.holds(instance, "f1", wires[kind]), kind
