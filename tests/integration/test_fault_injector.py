"""The injector as a process, on a real broker and a small target of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from microservo.adapters.broker import Broker, Message
from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.lifecycle import FaultStatus, fold
from microservo.domain.topology_file import load_topology
from microservo.errors import InvalidInput, Retryable
from microservo.log.faults import latest_events
from microservo.log.reader import read_topic
from microservo.log.topics import topic_specs
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.mechanisms.control_api import ControlApi, ControlClient
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import LocalInstance, TargetState, read_state
from microservo.platforms.platform import kinds_here
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually
from schemas.codec import decode_as, encode
from schemas.records import FaultEvent, FaultRequest, ServiceFault

pytestmark = pytest.mark.integration

Start = Callable[[], AbstractContextManager["subprocess.Popen[bytes]"]]
PATIENCE_S = 120
SECOND_US = 1_000_000
TINY = """
name = "tiny"
entry = "front"
[services.front.endpoints.Home]
calls = [ { service = "back", endpoint = "Get" } ]
[services.back.endpoints.Get]
response_bytes = 500
[[journeys]]
name = "look"
steps = [ { endpoint = "Home" } ]
"""
PARAMETERS = {
    "cpu-hog": {"workers": "1", "load": "20%"},
    "memory-hog": {"size": "16MiB"},
    "network-delay": {"latency": "50ms", "jitter": "5ms"},
    "network-loss": {"ratio": "10%"},
    "network-bandwidth": {"rate": "1Mbit/s"},
    "http-delay": {"delay": "50ms", "endpoint": "Get"},
    "http-abort": {"status": "503", "ratio": "50%"},
    "app-exception": {"ratio": "50%", "endpoint": "Get"},
    "dns-delay": {"delay": "50ms"},
    "http-patch": {"field": "endpoint"},
    "network-corrupt": {"ratio": "10%"},
    "network-partition": {"peer": "front"},
    "network-reorder": {"latency": "50ms"},
    "slow-close": {"delay": "50ms"},
    "clock-skew": {"offset": "-1min"},
    "db-slow-query": {"database": "shop", "latency": "50ms"},
    "disk-error": {"volume": "/data", "ratio": "10%"},
    "disk-slow": {"volume": "/data", "delay": "10ms"},
    "memory-leak": {"size": "64KiB", "most": "4MiB"},
    "oom-kill": {"size": "16MiB"},
}


EXPOSED = {
    "back": {
        ("back", "root", "root_cause"),
        ("front", "caller", "exposed"),
        ("loadgen", "user", "exposed"),
    },
    "front": {
        ("front", "root", "root_cause"),
        ("loadgen", "user", "exposed"),
        ("back", "callee", "exposed"),
    },
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state file of a running target."""
    home = tmp_path_factory.mktemp("target")
    path, state_file = home / "tiny.toml", home / "target.json"
    path.write_text(TINY)
    with Supervisor() as supervisor:
        runner = LocalTargetRunner(
            supervisor,
            topology=load_topology(TINY, "tiny.toml"),
            topology_path=path,
            state_file=state_file,
            otlp_url=f"http://127.0.0.1:{free_ports(1)[0]}",
            log_dir=home / "logs",
            seed=7,
            journeys_per_s=5,
        )
        runner.start()
        runner.wait_ready(PATIENCE_S)
        yield state_file
    runner.close()


class Lab:
    """Asks for faults and reads what is published of them."""

    def __init__(self, broker: Broker, prefix: str, state_file: Path) -> None:
        self.broker = broker
        self.prefix = prefix
        self.state_file = state_file
        broker.admin().ensure_topics(topic_specs(prefix=prefix, partitions=2))

    def ask(self, fault_id: str, kind: str, *, seconds: float = 0.5, **changes: Any) -> None:
        given: dict[str, Any] = {
            "service": "back",
            "parameters": PARAMETERS.get(kind, {}),
            "duration_us": round(seconds * SECOND_US),
            **changes,
        }
        self.send(
            FaultRequest(fault_id=fault_id, action="inject", requested_at_us=now_us(), kind=kind, **given)
        )

    def stop(self, fault_id: str) -> None:
        self.send(FaultRequest(fault_id=fault_id, action="stop", requested_at_us=now_us()))

    def send(self, request: FaultRequest) -> None:
        self.send_bytes(encode(request), request.fault_id.encode())

    def send_bytes(self, value: bytes, key: bytes = b"k") -> None:
        with self.broker.producer(linger_ms=0) as producer:
            producer.send(f"{self.prefix}fault-requests", key=key, value=value)
            producer.flush(30)

    def status(self, fault_id: str) -> FaultStatus | None:
        events = [decode_as(FaultEvent, each.value or b"") for each in self.messages("fault-events")]
        return fold(event for event in events if event.fault_id == fault_id).get(fault_id)

    def state(self, fault_id: str, instance: str = "back-0") -> str:
        status = self.status(fault_id)
        return "" if status is None else status.state(instance)

    def wait_for(self, fault_id: str, *states: str, instance: str = "back-0") -> FaultStatus:
        eventually(
            lambda: self.state(fault_id, instance) in states,
            timeout_s=PATIENCE_S,
            what=f"{fault_id} to be {' or '.join(states)}",
        )
        status = self.status(fault_id)
        assert status is not None
        return status

    def faults(self, fault_id: str) -> list[ServiceFault]:
        messages = [each for each in self.messages("service-faults") if each.value is not None]
        found = [decode_as(ServiceFault, each.value or b"") for each in messages]
        return [each for each in found if each.fault_id == fault_id]

    def listed(self) -> dict[str, str]:
        """The state of every fault as `fault list` shows it, by id."""
        events = latest_events(self.broker, f"{self.prefix}faults")
        return {each.fault_id: each.state for each in events}

    def messages(self, topic: str) -> list[Message]:
        with suppress(Retryable):  # a topic that was just made may have no leader yet
            return list(read_topic(self.broker, self.prefix + topic))
        return []

    def target(self) -> TargetState:
        return read_state(self.state_file)

    def instance(self) -> LocalInstance:
        found = self.target().instance("back-0")
        assert found is not None
        return found

    def api(self, address: str) -> ControlClient:
        return ControlClient(address, self.target().control_token)

    def in_force(self) -> list[str]:
        """Ids of the faults that the instance and its sidecar make now."""
        instance = self.instance()
        pages = [self.api(url).call("GET", "/faults") for url in (instance.control_url, instance.sidecar_url)]
        return [fault["id"] for page in pages for fault in page["faults"]]


@pytest.fixture
def lab(kafka_broker: Broker, topic_prefix: str, target: Path) -> Lab:
    return Lab(kafka_broker, topic_prefix, target)


@pytest.fixture
def start(kafka_bootstrap_servers: str, lab: Lab, target: Path, tmp_path: Path) -> Start:
    environment = {
        **os.environ,
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": lab.prefix,
        "MICROSERVO_RUN_ID": "run-1",
        "MICROSERVO_TARGET_STATE": str(target),
    }

    @contextmanager
    def running() -> Iterator[subprocess.Popen[bytes]]:
        argv = [sys.executable, "-m", "services.fault_injector"]
        with (tmp_path / "injector.log").open("ab") as log:
            process = subprocess.Popen(argv, env=environment, stderr=log, stdout=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return running


def test_every_kind_is_applied_confirmed_and_recovered(lab: Lab, start: Start) -> None:
    carried = kinds_here(LocalPlatform(lab.state_file))
    assert carried == {kind for kind in kinds_of_local_targets() if not KINDS[kind].on_telemetry}
    with start():
        for kind in sorted(carried):
            service = "front" if KINDS[kind].needs in ("users", "callees") else "back"
            lab.ask(kind, kind, service=service)
            times = lab.wait_for(kind, "recovered", "failed", instance=f"{service}-0").times()
            assert lab.state(kind, f"{service}-0") == "recovered", lab.status(kind)
            assert times["applied_at_us"] is not None
            assert times["recovered_at_us"] is not None
            assert times["applied_at_us"] < times["recovered_at_us"]
            services = {(each.service, each.relation, each.role) for each in lab.faults(kind)}
            assert services == EXPOSED[service], kind
            for name in ("applied_within_us", "recovered_within_us"):
                assert times[name] is not None, f"{kind}: {name} was not measured"
                assert times[name] < 5 * SECOND_US, f"{kind}: {name} is {times[name]}"
        eventually(
            lambda: lab.listed() == dict.fromkeys(carried, "recovered"),
            timeout_s=PATIENCE_S,
            what="the states to say so too",
        )
    assert lab.in_force() == []


def test_two_faults_act_on_one_instance_at_once(lab: Lab, start: Start) -> None:
    with start():
        lab.ask("f-1", "network-delay", seconds=60)
        lab.ask("f-2", "app-exception", seconds=60)
        eventually(lambda: sorted(lab.in_force()) == ["f-1", "f-2"], timeout_s=PATIENCE_S, what="both")
        lab.stop("f-1")
        lab.wait_for("f-1", "stopped")
        assert lab.in_force() == ["f-2"]
        lab.stop("f-2")
        lab.wait_for("f-2", "stopped")
    assert lab.in_force() == []


def test_bad_requests_are_refused_and_the_next_is_carried_out(lab: Lab, start: Start) -> None:
    with start():
        lab.send_bytes(b"rubbish")
        lab.ask("bad", "network-delay", parameters={"latency": "300"})
        lab.ask("good", "network-delay", seconds=60)
        lab.wait_for("good", "active")
        refused = lab.wait_for("bad", "rejected")
        assert "not understood" in refused.whole.reason
        assert lab.in_force() == ["good"]
        assert [each.value for each in lab.messages("fault-requests-dlq")] == [b"rubbish"]
        lab.stop("good")
        lab.wait_for("good", "stopped")


def test_a_fault_of_others_is_declared_and_ended(lab: Lab, start: Start) -> None:
    with start():
        since_us = now_us() - 5 * SECOND_US
        lab.send(
            FaultRequest(
                fault_id="deploy-1",
                action="declare",
                requested_at_us=now_us(),
                kind="deploy",
                service="front",
                start_at_us=since_us,
            )
        )
        eventually(
            lambda: (
                {(each.service, each.relation) for each in lab.faults("deploy-1")}
                == {("front", "root"), ("loadgen", "user"), ("back", "callee")}
            ),
            timeout_s=PATIENCE_S,
            what="the services that are exposed to it",
        )
        lab.stop("deploy-1")
        eventually(lambda: lab.state("deploy-1", "") == "recovered", timeout_s=PATIENCE_S, what="its end")
    status = lab.status("deploy-1")
    assert status is not None
    assert status.times()["applied_at_us"] == since_us


def test_a_killed_injector_goes_on_where_it_was(lab: Lab, start: Start) -> None:
    with start() as process:
        lab.ask("short", "network-loss", seconds=1)
        lab.ask("long", "network-delay", seconds=3600)
        lab.ask("pause", "process-pause", seconds=1)
        for fault_id in ("short", "long", "pause"):
            lab.wait_for(fault_id, "active", "recovering", "recovered")
        process.send_signal(signal.SIGKILL)
        process.wait()
    lab.api(lab.instance().sidecar_url).call("PUT", "/faults/stranger", body=BODY)
    with start():
        lab.wait_for("short", "recovered")
        lab.wait_for("pause", "recovered")
        eventually(lambda: lab.in_force() == ["long"], timeout_s=PATIENCE_S, what="only the open fault")
        assert lab.state("long") == "active"
        lab.stop("long")
        lab.wait_for("long", "stopped")
    assert lab.in_force() == []


BODY = {"kind": "network-delay", "parameters": {"latency_us": 1000, "jitter_us": 0}}


def test_a_fault_follows_its_instance_through_a_restart(lab: Lab, start: Start) -> None:
    with start():
        lab.ask("f-1", "app-exception", seconds=3600)
        lab.wait_for("f-1", "active")
        lab.ask("f-2", "process-kill")
        lab.wait_for("f-2", "recovered")
        eventually(lambda: lab.in_force() == ["f-1"], timeout_s=PATIENCE_S, what="the fault to be back")
        eventually(
            lambda: "applied again" in lab.wait_for("f-1", "active").latest["back-0"].apply_evidence,
            timeout_s=PATIENCE_S,
            what="the status to tell it",
        )
        lab.stop("f-1")
        lab.wait_for("f-1", "stopped")


def test_an_orderly_end_leaves_nothing_broken(lab: Lab, start: Start) -> None:
    with start() as process:
        lab.ask("f-1", "network-delay", seconds=3600)
        lab.ask("f-2", "process-pause", seconds=3600)
        lab.wait_for("f-1", "active")
        lab.wait_for("f-2", "active")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    for fault_id in ("f-1", "f-2"):
        status = lab.status(fault_id)
        assert status is not None
        assert status.latest["back-0"].state == "stopped"
        assert status.latest["back-0"].reason == "injector shut down"
    assert lab.in_force() == []
    pid = lab.instance().pid
    assert pid is not None
    assert psutil.Process(pid).status() != psutil.STATUS_STOPPED


def test_the_control_api_distinguishes_refusals_from_silence(lab: Lab) -> None:
    (sidecar,) = LocalPlatform(lab.state_file).mechanisms("network-delay")
    with pytest.raises(InvalidInput, match="refused with 422"):
        sidecar.apply("back-0", "f-1", ("magic", {}))
    silent = f"http://127.0.0.1:{free_ports(1)[0]}"
    nobody = ControlApi("sidecar", lambda *_: silent, lab.target, now_us)
    with pytest.raises(Retryable, match="no answer"):
        nobody.recover("back-0", "f-1", ("network-delay", {}))
    assert "not active" in sidecar.recover("back-0", "never", ("network-delay", {})).evidence
