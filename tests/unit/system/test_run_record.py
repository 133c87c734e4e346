from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import replace

import pytest

from microservo.adapters.machine import machine
from microservo.application.new_run import new_run_id
from microservo.client.client import Client
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.errors import InvalidInput
from microservo.platforms.local.topology_files import read_topology, topology_file
from microservo.system.options import SystemOptions
from microservo.system.run_record import RunRecord, ensure_topics
from microservo.testing import MemoryBroker

OPTIONS = SystemOptions(seed=11, partitions=2, topic_prefix="lab-")


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    ensure_topics(broker, OPTIONS)
    return broker


def test_a_run_is_recorded_with_the_offsets_it_begins_and_ends_at(broker: MemoryBroker) -> None:
    client = Client(broker=broker, topic_prefix="lab-")
    with broker.producer() as producer:
        producer.send("lab-fault-events", key=b"k", value=b"before", partition=1)
        record = RunRecord(broker, OPTIONS, target="online-boutique")
        record.begin()
        (begun,) = client.runs.list()
        producer.send("lab-fault-events", key=b"k", value=b"during", partition=1)
        record.end("finished")
        producer.send("lab-fault-events", key=b"k", value=b"after", partition=1)
        record.end("aborted")
    (ended,) = client.runs.list()
    assert (begun.status, begun.seed, begun.target) == ("running", 11, "online-boutique")
    assert (begun.start_offsets["fault-events/1"], begun.end_offsets) == (1, {})
    assert (ended.status, ended.end_offsets["fault-events/1"]) == ("finished", 2)
    assert ended.finished_at_us is not None
    assert begun.window_us == OPTIONS.policy.size_us


def test_final_windows_of_a_run_wait_for_its_effect_observer_and_first_ones_do_not(
    broker: MemoryBroker,
) -> None:
    RunRecord(broker, OPTIONS, target="online-boutique").begin()
    (run,) = Client(broker=broker, topic_prefix="lab-").runs.list()
    (observer,) = [each for each in run.writers if each.topic == "fault-effects"]
    assert (observer.writer, observer.from_us) == ("effect-observer", run.started_at_us)
    assert (observer.first_cut_us, observer.final_cut_us) == (NEVER_WAITS_US, OPTIONS.policy.final_cut_us)


def test_a_run_whose_system_was_killed_is_ended_by_the_next(broker: MemoryBroker) -> None:
    client = Client(broker=broker, topic_prefix="lab-")
    killed = RunRecord(broker, OPTIONS, target="online-boutique")
    killed.begin()
    with broker.producer() as producer:
        producer.send("lab-fault-events", key=b"k", value=b"during", partition=1)
    after = RunRecord(broker, OPTIONS, target="online-boutique")
    after.close_others(client.runs.list())
    after.begin()
    found = {run.run_id: run for run in client.runs.list()}
    assert (found[killed.run_id].status, found[after.run_id].status) == ("aborted", "running")
    assert found[killed.run_id].end_offsets["fault-events/1"] == 1


def test_a_named_run_goes_on_after_a_kill_but_not_after_its_end(broker: MemoryBroker) -> None:
    client = Client(broker=broker, topic_prefix="lab-")
    killed = RunRecord(broker, OPTIONS, target="online-boutique", run_id="monday")
    assert not killed.resume(client.runs.list())
    killed.begin()
    with broker.producer() as producer:
        producer.send("lab-fault-events", key=b"k", value=b"during", partition=1)
    again = RunRecord(broker, OPTIONS, target="online-boutique", run_id="monday")
    assert again.resume(client.runs.list())
    again.end("finished")
    (run,) = client.runs.list()
    assert (run.status, run.start_offsets["fault-events/1"], run.end_offsets["fault-events/1"]) == (
        "finished",
        0,
        1,
    )
    with pytest.raises(InvalidInput, match="'monday' is over \\(finished\\); give this one another id"):
        RunRecord(broker, OPTIONS, target="online-boutique", run_id="monday").resume(client.runs.list())


def test_fault_free_time_lasts_until_it_is_declared_or_a_fault_comes(broker: MemoryBroker) -> None:
    client = Client(broker=broker, topic_prefix="lab-")

    def until_us() -> int:
        (run,) = client.runs.list()
        assert run.fault_free_until_us is not None
        return run.fault_free_until_us

    record = RunRecord(broker, OPTIONS, target="online-boutique")
    record.begin()
    (run,) = client.runs.list()
    declared_us = run.started_at_us + 120_000_000
    assert until_us() > declared_us, "who is quick must not take it for over"
    record.declare_fault_free(declared_us)
    assert until_us() == declared_us
    record.declare_fault_free(declared_us + 1)
    assert until_us() == declared_us


def test_a_run_says_where_and_under_what_load_it_took_place(broker: MemoryBroker) -> None:
    options = replace(OPTIONS, journeys_per_s=5.0, delays_us={"jshop": 4_000_000})
    record = RunRecord(broker, options, target="online-boutique")
    record.begin()
    record.end("finished")
    (run,) = Client(broker=broker, topic_prefix="lab-").runs.list()
    text = topology_file("online-boutique").read_bytes()
    assert run.topology_sha256 == hashlib.sha256(text).hexdigest()
    curve = read_topology("online-boutique").load
    assert [(load.journeys_per_s, load.seed, load.amplitude) for load in run.loads] == [
        (5.0, 11, curve.amplitude)
    ]
    (where,) = run.machines
    assert where == machine()
    assert (where.cpus, where.memory_bytes > 2**20) == (os.cpu_count(), True)
    assert platform.node() not in repr(where)
    assert run.plan == ()
    assert run.delays_us == {"jshop": 4_000_000}
    assert run.clock_moved_us is not None
    assert abs(run.clock_moved_us) < 1_000_000


def test_a_run_that_went_on_elsewhere_names_both_machines_and_knows_nothing_of_the_clock(
    broker: MemoryBroker,
) -> None:
    client = Client(broker=broker, topic_prefix="lab-")
    killed = RunRecord(broker, OPTIONS, target="online-boutique", run_id="monday")
    killed.begin()
    (begun,) = client.runs.list()
    elsewhere = replace(begun, machines=(replace(begun.machines[0], host_hash="another"),))
    again = RunRecord(broker, OPTIONS, target="online-boutique", run_id="monday")
    assert again.resume([elsewhere])
    again.begin()
    again.end("finished")
    (run,) = client.runs.list()
    assert [each.host_hash for each in run.machines] == ["another", machine().host_hash]
    assert run.clock_moved_us is None


def test_run_ids_sort_by_time_and_differ() -> None:
    first, second = new_run_id(1_800_000_000_000_000), new_run_id(1_800_000_001_000_000)
    assert first.startswith("run-20270115-080000-")
    assert first < second
    assert len({new_run_id(0) for _ in range(20)}) > 1


def test_topics_with_other_partitions_are_refused(broker: MemoryBroker) -> None:
    with pytest.raises(InvalidInput):
        ensure_topics(broker, SystemOptions(partitions=3, topic_prefix="lab-"))
