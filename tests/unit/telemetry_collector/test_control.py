"""Faults on telemetry by the mechanism of the local platform, in a collector on a broker in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from otlp_requests import T0_US, attribute, resource, span, traces
from target_states import TOKEN, local_instance, target_state

from microservo.domain.faults.catalogue import KINDS
from microservo.domain.telemetry import record_count
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.state import Collector, write_state
from microservo.platforms.mechanism import Mechanism
from microservo.platforms.platform import kinds_here
from microservo.testing import eventually
from schemas.catalogue import TELEMETRY_LOSSES, TELEMETRY_TRACES
from schemas.codec import decode_as
from schemas.records import SpanBatch, TelemetryLoss
from services.telemetry_collector.control import control_server
from tests.unit.telemetry_collector.harness import Running, Start

ID = "f-1"
MADE_US = T0_US + 1_000_000
DROP = KINDS["telemetry-drop"].from_text({}).wire()
DELAY = KINDS["telemetry-delay"].from_text({"delay": "60s"}).wire()


@pytest.fixture
def running(start: Start) -> Iterator[Running]:
    with start() as running:
        yield running


@pytest.fixture
def state_file(running: Running, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "target.json"
    with control_server(running.collector.faults, 0, TOKEN, running.clock) as server:
        collector = Collector(pid=1, control_url=f"http://127.0.0.1:{server.port}")
        write_state(
            path, target_state(local_instance("cart-0"), local_instance("cart-1"), collector=collector)
        )
        yield path


@pytest.fixture
def mechanism(state_file: Path) -> Mechanism:
    (mechanism,) = LocalPlatform(state_file).mechanisms("telemetry-drop")
    return mechanism


def send(running: Running, *, instance: str = "cart-0", number: int = 1, count: int = 3) -> None:
    origin = resource(instance=instance)
    origin.attributes.append(attribute("microservo.target", "true"))
    body = traces([span(MADE_US, number=number + each) for each in range(count)], origin)
    assert running.send("/v1/traces", body.SerializeToString()).status == 200


def spans(running: Running) -> int:
    batches = [decode_as(SpanBatch, each.value) for each in running.messages(TELEMETRY_TRACES) if each.value]
    return sum(map(record_count, batches))


def test_what_is_lost_is_answered_and_its_number_is_on_a_topic(
    running: Running, mechanism: Mechanism
) -> None:
    applied = mechanism.apply("cart-0", ID, DROP)
    assert (applied.at_us, applied.within_us, applied.acted) == (MADE_US, 0, 0)
    send(running)
    send(running, instance="cart-1", number=10, count=2)
    assert spans(running) == 2
    losses = [decode_as(TelemetryLoss, each.value or b"") for each in running.messages(TELEMETRY_LOSSES)]
    assert losses == [
        TelemetryLoss(run_id="run-1", service="cart", source=TELEMETRY_TRACES, minute_us=T0_US, records=3)
    ]
    assert mechanism.acted("cart-0", ID, DROP) == 3
    assert running.collector.queued_records == 0
    running.clock.advance(10)
    recovered = mechanism.recover("cart-0", ID, DROP)
    assert (recovered.at_us, recovered.acted) == (MADE_US + 10, 3)
    assert recovered.evidence == "telemetry-drop acted on 3 records; what it held back goes on"
    assert mechanism.recover("cart-0", ID, DROP).at_us == MADE_US + 10


def test_what_is_held_back_is_answered_at_once_and_goes_on_at_the_end(
    running: Running, mechanism: Mechanism
) -> None:
    mechanism.apply("cart-0", ID, DELAY)
    send(running)
    assert spans(running) == 0
    assert running.collector.queued_records == 0
    mechanism.recover("cart-0", ID, DELAY)
    eventually(lambda: spans(running) == 3, what="what was held back")
    eventually(lambda: running.collector.queued_records == 0, what="an empty queue")


def test_a_collector_that_ends_ships_what_is_held_back(start: Start) -> None:
    with start() as running:
        running.collector.faults.apply("f@cart-0", *DELAY)
        send(running)
        assert spans(running) == 0
    assert spans(running) == 3


def test_a_fault_is_in_force_on_its_own_instance_and_what_nobody_owns_is_released(
    mechanism: Mechanism,
) -> None:
    mechanism.apply("cart-0", ID, DROP)
    mechanism.apply("cart-1", "f-2", DROP)
    assert mechanism.holds("cart-0", ID, DROP)
    assert not mechanism.holds("cart-1", ID, DROP)
    assert mechanism.release_unowned("cart-0", lambda: {ID: "telemetry-drop"}) == []
    assert mechanism.release_unowned("cart-0", dict) == [ID]
    assert mechanism.holds("cart-1", "f-2", DROP)
    with pytest.raises(InvalidInput, match="a collector can't make 'magic'"):
        mechanism.apply("cart-0", "f-3", ("magic", {}))


def test_a_target_whose_collector_others_run_carries_no_faults_on_telemetry(tmp_path: Path) -> None:
    write_state(tmp_path / "target.json", target_state(local_instance("cart-0")))
    carried = kinds_here(LocalPlatform(tmp_path / "target.json"))
    assert carried == {kind for kind in kinds_of_local_targets() if not KINDS[kind].on_telemetry}
