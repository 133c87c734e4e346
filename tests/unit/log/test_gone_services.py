"""Services are declared gone in the run's record, and collectors follow it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from microservo.errors import InvalidInput
from microservo.log.gone_services import retire_service
from microservo.log.inventories import last_inventories
from microservo.log.publisher import Publisher
from microservo.log.run_records import write_run
from microservo.log.runs import runs
from microservo.log.stamped import StampedWriter
from microservo.log.topics import topic_specs
from microservo.testing import ManualClock, MemoryBroker, eventually
from schemas.catalogue import TELEMETRY_METRICS
from schemas.examples import examples
from schemas.records import Experiment, GoneService, ServiceInventory
from services.telemetry_collector.gone import GoneServices

NOON_US = 1_800_000_000_000_000
S = 1_000_000
(RUN,) = (each for each in examples()["experiment", 2].values() if isinstance(each, Experiment))
(SHOP,) = (each for each in examples()["service_inventory", 1].values() if isinstance(each, ServiceInventory))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_US)


@pytest.fixture
def broker(clock: ManualClock) -> MemoryBroker:
    """A broker with a run and its inventories: of jshop and old until noon, then of jshop alone."""
    broker = MemoryBroker(clock=clock)
    broker.admin().ensure_topics(topic_specs(partitions=2))
    write_run(broker, replace(RUN, run_id="run"), process="system", clock=clock)
    clock.advance(-20 * S)
    for second in range(20):
        services = ("jshop", "old") if second < 5 else ("jshop",)
        ship(broker, clock, *(inventory(each, second) for each in services))
        clock.advance(S)
    return broker


def inventory(service: str, second: int) -> ServiceInventory:
    return replace(SHOP, run_id="run", service=service, time_us=second)


def ship(broker: MemoryBroker, clock: ManualClock, *records: ServiceInventory, writer: str = "one") -> None:
    with StampedWriter(
        broker, TELEMETRY_METRICS, writer=writer, run_id=lambda: "run", clock=clock, source="/test"
    ) as stamped:
        publisher = Publisher(
            broker.producer(),
            "telemetry_collector",
            prefix="",
            clock=clock,
            writers={TELEMETRY_METRICS: stamped},
        )
        for record in records:
            publisher.publish(record)


def retire(broker: MemoryBroker, clock: ManualClock, service: str, run_id: str = "run") -> GoneService:
    return retire_service(broker, run_id=run_id, service=service, process="client", clock=clock)


def test_the_last_inventory_of_each_service_is_found(broker: MemoryBroker, clock: ManualClock) -> None:
    ship(broker, clock, inventory("ad", 30), writer="two")
    found = last_inventories(broker, run_id="run", until_us=clock())
    assert [(each.service, each.time_us) for each in found] == [("ad", 30), ("jshop", 19)]
    own = last_inventories(broker, run_id="run", until_us=clock(), writer="one")
    assert [each.service for each in own] == ["jshop"]
    then = last_inventories(broker, run_id="run", until_us=NOON_US - 17 * S)
    assert [(each.service, each.time_us) for each in then] == [("jshop", 3), ("old", 3)]
    assert last_inventories(broker, run_id="other", until_us=clock()) == []


def test_a_service_that_is_declared_gone_stands_in_the_record_with_the_instant(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    assert retire(broker, clock, "jshop") == GoneService(service="jshop", at_us=NOON_US)
    clock.advance(S)
    retire(broker, clock, "jshop")
    (run,) = runs(broker)
    assert run.gone == (GoneService(service="jshop", at_us=NOON_US + S),)
    assert run.writers == RUN.writers


def test_collectors_learn_which_services_are_gone(broker: MemoryBroker, clock: ManualClock) -> None:
    with GoneServices(broker, "", "run", clock) as gone:
        assert gone() == {}
        retire(broker, clock, "jshop")
        assert eventually(gone, what="what is gone") == {"jshop": NOON_US}


def test_only_a_service_of_which_something_is_known_can_be_gone(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    with pytest.raises(
        InvalidInput, match=r"nothing is known of a service 'old' in run 'run' now; .*: jshop"
    ):
        retire(broker, clock, "old")


def test_in_a_run_that_is_over_or_that_nobody_recorded_nothing_is_gone(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    write_run(broker, replace(RUN, run_id="run", status="finished"), process="system", clock=clock)
    with pytest.raises(InvalidInput, match=r"run 'run' is over \(finished\)"):
        retire(broker, clock, "jshop")
    write_run(broker, replace(RUN, run_id="other"), process="system", clock=clock)
    with pytest.raises(InvalidInput, match="in run 'other' now; those that push telemetry: none"):
        retire(broker, clock, "jshop", "other")
