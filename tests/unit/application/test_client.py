from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from fault_states import state_of
from target_states import local_instance, target_state

import microservo
from microservo import Client
from microservo.adapters.broker import Message
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.log.writers import COLLECTOR_WRITER, TELEMETRY, writers_from
from microservo.platforms.local.state import write_state
from microservo.supervision import system_file
from microservo.testing import ManualClock, MemoryBroker
from schemas.codec import encode
from schemas.envelope import HEARTBEAT_KEY
from schemas.records import Experiment, FaultEvent, FaultRequest, FaultSnapshot, FaultState

NOON_US = 1_800_000_000_000_000


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def client(broker: MemoryBroker) -> Client:
    client = Client(broker=broker, topic_prefix="lab-", clock=ManualClock(NOON_US))
    client.topics.ensure(partitions=2)
    return client


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))
    monkeypatch.delenv("MICROSERVO_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("MICROSERVO_TOPIC_PREFIX", raising=False)
    return tmp_path


def an_event(
    fault_id: str, version: int, state: FaultState, *, instance: str = "cartservice-0", reason: str = ""
) -> FaultEvent:
    return FaultEvent(
        run_id="run-1",
        fault_id=fault_id,
        version=version,
        kind="cpu-hog",
        service="cartservice",
        instance=instance,
        state=state,
        at_us=NOON_US + version,
        requested_at_us=NOON_US,
        duration_us=1_000_000,
        parameters={},
        reason=reason,
    )


def put(broker: MemoryBroker, *events: FaultEvent) -> None:
    with broker.producer() as producer:
        for event in events:
            producer.send("lab-fault-events", key=event.fault_id.encode(), value=encode(event))


def put_states(broker: MemoryBroker, *states: FaultSnapshot) -> None:
    with broker.producer() as producer:
        for state in states:
            producer.send("lab-faults", key=state.fault_id.encode(), value=encode(state))


def a_run(run_id: str, started_at_us: int) -> Experiment:
    return Experiment(
        run_id=run_id,
        status="running",
        seed=7,
        target="online-boutique",
        started_at_us=started_at_us,
        window_us=5_000_000,
        first_cut_us=2_000_000,
        final_cut_us=30_000_000,
        start_offsets={},
        end_offsets={},
        versions={},
    )


def requests_on(client: Client) -> list[FaultRequest]:
    received = list(client.topics.subscribe("fault-requests", start="earliest", until_end=True))
    return [each.record for each in received if isinstance(each.record, FaultRequest)]


def test_the_public_names_are_those_that_are_promised() -> None:
    assert microservo.__all__ == ["BalancerClient", "Client", "Dataset", "Received", "RegistryClient"]
    for name in microservo.__all__:
        assert getattr(microservo, name)
    with pytest.raises(AttributeError):
        _ = microservo.nothing_of_the_kind


def test_importing_the_client_loads_no_library_that_takes_long() -> None:
    code = "import sys; from microservo import Client; print(Client and sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'microservo.client.client'" in loaded
    for slow in ("confluent_kafka", "numpy", "pyarrow", "rich"):
        assert f"'{slow}'" not in loaded, slow


def test_a_fault_request_lies_on_its_topic_under_its_id(client: Client) -> None:
    fault_id = client.faults.request(
        "network-delay", service="cartservice", duration="20s", latency="300ms", fault_id="slow-1"
    )
    (received,) = client.topics.subscribe("fault-requests", start="earliest", until_end=True)
    assert fault_id == "slow-1"
    assert received.message.key == b"slow-1"
    record = received.record
    assert isinstance(record, FaultRequest)
    assert (record.kind, record.parameters, record.duration_us) == (
        "network-delay",
        {"latency": "300ms"},
        20_000_000,
    )


def test_each_request_without_an_id_gets_one_of_its_own(client: Client) -> None:
    ids = {client.faults.request("noop", service="a", duration=timedelta(seconds=1)) for _ in range(5)}
    assert len(ids) == 5
    assert all(fault_id.startswith("noop-") for fault_id in ids)


@pytest.mark.parametrize(
    ("kind", "duration", "parameters"),
    [
        ("network-dealy", "20s", {"latency": "300ms"}),
        ("network-delay", "-5s", {"latency": "300ms"}),
        ("network-delay", None, {"latency": "300ms"}),
        ("network-delay", "20s", {}),
        ("network-delay", "20s", {"latency": "300 parsecs"}),
        ("network-delay", "20s", {"latency": "300ms", "colour": "red"}),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_not_sent(
    client: Client, kind: str, duration: str | None, parameters: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput):
        client.faults.request(kind, service="cartservice", duration=duration, parameters=parameters)
    assert requests_on(client) == []


def test_a_start_without_a_time_zone_is_refused(client: Client) -> None:
    start_at = datetime(2026, 1, 31, 12)  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="time zone"):
        client.faults.request("noop", service="a", duration="1s", start_at=start_at)


def test_a_running_fault_can_be_stopped_and_no_other(client: Client, broker: MemoryBroker) -> None:
    put_states(broker, state_of(an_event("on", 1, "active")), state_of(an_event("over", 1, "recovered")))
    client.faults.stop("on")
    assert [(each.fault_id, each.action) for each in requests_on(client)] == [("on", "stop")]
    for fault_id in ("over", "unknown", "not an id"):
        with pytest.raises(InvalidInput):
            client.faults.stop(fault_id)


def test_a_fault_of_others_is_declared_and_its_end_too(client: Client, broker: MemoryBroker) -> None:
    noon = datetime.fromtimestamp(NOON_US / 1e6, UTC)
    fault_id = client.faults.declare("deploy", service="jshop", start_at=noon - timedelta(seconds=9))
    event = replace(
        an_event(fault_id, 2, "active", instance=""), origin="declared", applied_at_us=NOON_US - 9
    )
    put_states(broker, state_of(event))
    client.faults.stop(fault_id, at=noon)
    received = client.topics.subscribe("fault-requests", start="earliest", until_end=True)
    declared, ended = (each.record for each in received)
    assert isinstance(declared, FaultRequest)
    assert isinstance(ended, FaultRequest)
    assert (declared.action, declared.start_at_us) == ("declare", NOON_US - 9_000_000)
    assert (ended.action, ended.end_at_us) == ("stop", NOON_US)


def test_faults_are_listed_by_their_newest_event(client: Client, broker: MemoryBroker) -> None:
    rejected = an_event("b", 1, "rejected", instance="", reason="no such service")
    put(
        broker, an_event("long-ago", 1, "recovered"), an_event("a", 2, "applying"), an_event("a", 3, "active")
    )
    put_states(
        broker,
        state_of(an_event("a", 1, "requested", instance=""), an_event("a", 3, "active")),
        state_of(rejected),
    )
    listed = [(each.fault_id, each.version, each.state) for each in client.faults.list()]
    assert listed == [("a", 3, "active"), ("b", 1, "rejected")]
    assert {each.fault_id for each in client.faults.list(history=True)} == {"long-ago", "a"}


def test_waiting_ends_when_every_instance_is_there(client: Client, broker: MemoryBroker) -> None:
    put(
        broker,
        an_event("a", 1, "requested", instance=""),
        an_event("a", 2, "applying", instance="x-0"),
        an_event("a", 3, "applying", instance="x-1"),
        an_event("a", 4, "active", instance="x-0"),
    )
    later = threading.Timer(0.2, put, (broker, an_event("a", 5, "active", instance="x-1")))
    later.start()
    event = client.faults.wait("a", "active", timeout_s=30)
    later.join()
    assert event.version == 5


def test_waiting_for_what_ended_otherwise_says_how_it_ended(client: Client, broker: MemoryBroker) -> None:
    put(broker, an_event("a", 1, "rejected", instance="", reason="no such service"))
    put(broker, an_event("b", 1, "failed", reason="refused"))
    with pytest.raises(InvalidInput, match="no such service"):
        client.faults.wait("a", "active", timeout_s=30)
    with pytest.raises(MicroServoError, match="failed on cartservice-0: refused"):
        client.faults.wait("b", "active", timeout_s=30)
    with pytest.raises(Unavailable, match="is the injector running"):
        client.faults.wait("c", "active", timeout_s=0.1)


def test_heartbeats_are_left_out_and_what_cannot_be_read_says_why(
    client: Client, broker: MemoryBroker
) -> None:
    with broker.producer() as producer:
        producer.send("lab-service-faults", key=HEARTBEAT_KEY, value=None)
        producer.send("lab-service-faults", key=b"cart", value=b"rubbish")
        producer.send("lab-service-faults", key=b"cart", value=None)
        producer.send(
            "lab-service-faults-dlq", key=b"k", value=b"raw", headers=(("dlq_reason", b"cut short"),)
        )
    rubbish, tombstone = client.topics.subscribe("service-faults", start="earliest", until_end=True)
    assert (rubbish.record, "framing" in rubbish.problem) == (None, True)
    assert (tombstone.record, tombstone.problem) == (None, "")
    (letter,) = client.topics.subscribe("service-faults-dlq", start="earliest", until_end=True)
    assert letter.problem == "cut short"


def test_a_subscription_begins_at_an_instant(client: Client, broker: MemoryBroker) -> None:
    with broker.producer() as producer:
        for second in range(4):
            producer.send(
                "lab-experiments",
                key=b"k",
                value=None,
                timestamp_us=NOON_US + second * 1_000_000,
                partition=0,
            )
    start = datetime.fromtimestamp(NOON_US / 1e6 + 2, UTC)
    messages = [each.message for each in client.topics.subscribe("experiments", start=start, until_end=True)]
    assert [message.timestamp_us for message in messages] == [NOON_US + 2_000_000, NOON_US + 3_000_000]


def test_latest_sees_only_what_comes_after(client: Client, broker: MemoryBroker) -> None:
    put(broker, an_event("old", 1, "active"))
    with client.topics.subscribe("fault-events") as events:
        put(broker, an_event("new", 1, "active"))
        record = next(events).record
    assert isinstance(record, FaultEvent)
    assert record.fault_id == "new"


def test_a_group_takes_up_where_its_members_stopped(client: Client, broker: MemoryBroker) -> None:
    put(broker, *(an_event("a", version, "active") for version in range(1, 4)))
    with client.topics.subscribe("fault-events", start="earliest", group_id="g") as first:
        taken: list[Message] = [next(first).message for _ in range(3)]
        assert first.poll(0) is None  # asking for more commits what was taken
    put(broker, an_event("a", 4, "recovered"))
    with client.topics.subscribe("fault-events", start="earliest", group_id="g") as second:
        record = next(second).record
    assert len(taken) == 3
    assert isinstance(record, FaultEvent)
    assert record.version == 4


def test_a_group_cannot_end_or_begin_at_an_instant(client: Client) -> None:
    with pytest.raises(InvalidInput, match="leave the group out"):
        client.topics.subscribe("fault-events", until_end=True, group_id="g")


def test_an_unknown_topic_is_refused_with_those_that_are(client: Client) -> None:
    with pytest.raises(InvalidInput, match="labelled-windows"):
        client.topics.subscribe("labeled-windows")


def test_topics_are_made_once_and_described(client: Client) -> None:
    assert client.topics.ensure(partitions=2) == ()
    states = {each.topic.name: each for each in client.topics.list()}
    faults, experiments = states["service-faults"].state, states["experiments"].state
    assert faults is not None
    assert experiments is not None
    assert (faults.partitions, experiments.partitions) == (2, 1)
    assert states["service-faults"].name == "lab-service-faults"


def test_topics_that_are_missing_are_listed_as_missing(broker: MemoryBroker) -> None:
    assert all(each.state is None for each in Client(broker=broker).topics.list())


def test_runs_are_listed_in_order_of_their_start(client: Client, broker: MemoryBroker) -> None:
    with broker.producer() as producer:
        for run in (a_run("late", 2), a_run("early", 1)):
            producer.send("lab-experiments", key=run.run_id.encode(), value=encode(run))
    assert [run.run_id for run in client.runs.list()] == ["early", "late"]


def test_writers_of_a_run_are_listed_and_one_that_was_stopped_for_good_is_retired(
    client: Client, broker: MemoryBroker
) -> None:
    cuts_us = {"first_cut_us": 2_000_000, "final_cut_us": 30_000_000}
    run = replace(a_run("run-1", NOON_US), writers=writers_from(NOON_US, **cuts_us))
    with broker.producer() as producer:
        producer.send("lab-experiments", key=b"run-1", value=encode(run))
    assert client.runs.writers() == client.runs.writers("run-1") == run.writers
    retired = client.runs.retire_writer(COLLECTOR_WRITER)
    assert {each.topic for each in retired} == set(TELEMETRY)
    assert [each.until_us for each in client.runs.writers()] == [NOON_US, NOON_US, NOON_US, None]
    with pytest.raises(InvalidInput, match="no run 'other'; the newest are: run-1"):
        client.runs.writers("other")
    with pytest.raises(InvalidInput, match="no writer 'nobody' in run 'run-1'"):
        client.runs.retire_writer("nobody")


@pytest.mark.usefixtures("empty_home")
def test_without_a_broker_or_a_system_the_error_names_the_way_out() -> None:
    with pytest.raises(Unavailable, match=r"microservo up.*--bootstrap-servers"):
        Client()
    with pytest.raises(Unavailable, match="no running system 'lab'"):
        Client(system="lab")


def test_the_running_system_is_found_by_its_file_and_its_target_is_known(empty_home: Path) -> None:
    state = empty_home / "target.json"
    write_state(state, target_state(local_instance("cartservice-0")))
    system_file.write_system(a_system(state, created_at_s=psutil.Process().create_time()))
    client = Client()
    assert (client.topic_prefix, client.system is not None) == ("lab-", True)
    with pytest.raises(InvalidInput, match="did you mean 'cartservice'"):
        client.faults.request("noop", service="cartservise", duration="1s")


@pytest.mark.usefixtures("empty_home")
def test_the_file_of_a_system_that_died_is_not_believed() -> None:
    system_file.write_system(a_system(Path("gone"), created_at_s=1.0))
    with pytest.raises(Unavailable):
        Client()


def a_system(target_state: Path, created_at_s: float) -> system_file.SystemFile:
    return system_file.SystemFile(
        name="default",
        bootstrap_servers="127.0.0.1:1",
        topic_prefix="lab-",
        run_id="run-1",
        pid=os.getpid(),
        created_at_s=created_at_s,
        target_state=str(target_state),
        otlp_url="",
        log_dir="",
    )


def test_the_only_system_needs_no_name_and_of_several_one_must_be_named(empty_home: Path) -> None:
    born_s = psutil.Process().create_time()
    for name in ("blue", "green"):
        system_file.write_system(replace(a_system(empty_home / "t", created_at_s=born_s), name=name))
        if name == "blue":
            assert Client().system is not None
    with pytest.raises(Unavailable, match="several systems run; choose with --system: blue, green"):
        Client()
    assert Client(system="green").topic_prefix == "lab-"
