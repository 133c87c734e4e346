from __future__ import annotations

from dataclasses import replace

from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.system.said import DetectorSaid, Said, what_each_said
from microservo.testing import MemoryBroker
from schemas.catalogue import topic_of
from schemas.codec import decode_as, encode
from schemas.examples import example_bytes
from schemas.files import record_name
from schemas.records import Alarm, Experiment, FaultEffect, LabelledWindow

S = 1_000_000
WINDOW_US = 5 * S
BEGIN_US = 1_700_000_000 * S
FAULT_US = BEGIN_US + 102 * S
"""Within the window that begins at 100 s."""


def example(kind: type, name: str) -> object:
    newest = max(version for record, version in example_bytes() if record == name)
    return decode_as(kind, next(iter(example_bytes()[name, newest].values())))


def effect(service: str, fault_id: str = "f-1", finding: str = "visible") -> FaultEffect:
    return FaultEffect(
        run_id="run-1",
        fault_id=fault_id,
        service=service,
        version=2,
        root_service="cart",
        relation="root",
        finding=finding,  # type: ignore[arg-type]
        starts_us=(FAULT_US,),
        ends_us=(FAULT_US + 10 * S,),
        is_open=False,
        through_us=FAULT_US + 60 * S,
        is_final=True,
    )


def alarm(algorithm: str, service: str, opened_s: int, closed_s: int | None = None) -> Alarm:
    opened_us = BEGIN_US + opened_s * S
    return Alarm(
        run_id="run-1",
        alarm_id=f"{algorithm}@1/{service}/{opened_us}",
        algorithm=algorithm,
        algorithm_version=1,
        service=service,
        opened_us=opened_us,
        closed_us=None if closed_s is None else BEGIN_US + closed_s * S,
        score=9.0,
        threshold=3.0,
        peak=9.0,
        raised_at_us=opened_us,
        latency_us=1,
    )


def window(service: str, start_s: int, truth: str, revision: int = 0) -> LabelledWindow:
    start_us = BEGIN_US + start_s * S
    return LabelledWindow(
        run_id="run-1",
        service=service,
        start_us=start_us,
        end_us=start_us + WINDOW_US,
        revision=revision,
        names=(),
        values=(),
        labels=(),
        truth=truth,  # type: ignore[arg-type]
    )


def said(*records: object) -> Said:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix="t-", partitions=2))
    experiment = example(Experiment, "experiment")
    assert isinstance(experiment, Experiment)
    run = replace(
        experiment,
        run_id="run-1",
        started_at_us=BEGIN_US,
        window_us=WINDOW_US,
        start_offsets={},
        end_offsets={},
    )
    write_run(broker, run, process="system", clock=lambda: BEGIN_US, topic_prefix="t-")
    with broker.producer() as producer:
        for record in records:
            topic = topic_of(record_name(type(record)))
            producer.send(topic.physical("t-"), key=b"cart", value=encode(record))
    return what_each_said(broker, "t-", "run-1", ["sure", "silent"])


def test_alarms_are_counted_once_and_faults_found_where_they_were_seen() -> None:
    found = said(
        *(effect("cart"), effect("frontend"), effect("ads", "f-2"), effect("ads", "f-3", "not_visible")),
        *(alarm("sure", "cart", 105), alarm("sure", "cart", 105, 125)),
        alarm("sure", "frontend", 110),
        *(window("ads", 45, "masked"), window("ads", 45, "normal", revision=2), alarm("sure", "ads", 50, 60)),
        *(window("cart", 20, "masked"), alarm("sure", "cart", 25, 35)),
    )
    assert found.faults == 2
    assert found.detectors == (
        DetectorSaid(algorithm="silent", alarms=0, found=0, false_alarms=0),
        DetectorSaid(algorithm="sure", alarms=4, found=1, false_alarms=1),
    )


def test_an_alarm_that_closed_before_the_fault_showed_has_not_found_it() -> None:
    found = said(effect("cart"), window("cart", 85, "normal"), alarm("sure", "cart", 90, 100))
    assert found.detectors[1] == DetectorSaid(algorithm="sure", alarms=1, found=0, false_alarms=1)
