"""A run on a real broker with two faults in it: windows, labels, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scored_run import BEGIN_US, PARTITIONS, SERVICES, SIZE_US, ScoredRun

from microservo.log.run_records import update_run
from schemas.catalogue import topic_of
from schemas.codec import encode
from schemas.files import record_name
from schemas.records import FaultEffect, FaultVerdict, LabelledWindow, ServiceFault

WINDOWS = 100
FAULTS = (("one", 50, 54), ("two", 70, 75))
"""Id, first window, the one behind the last."""
ODD = tuple(number for _, first, behind in FAULTS for number in range(first, behind))


def add_truth(run: ScoredRun, windows: int = WINDOWS) -> None:
    """Labels of all windows, and all that is published of the faults."""
    with run.broker.producer() as producer:
        for number in range(windows):
            for at, service in enumerate(SERVICES):
                producer.send(
                    f"{run.prefix}labelled-windows",
                    key=service.encode(),
                    value=encode(labelled(service, number)),
                    headers=(("run", b"run-1"),),
                    partition=at % PARTITIONS,
                )
        for fault in FAULTS:
            for record in fault_records(*fault):
                topic = topic_of(record_name(type(record))).name
                producer.send(run.prefix + topic, key=b"cart", value=encode(record), partition=0)
        producer.flush(30)


def end_run(run: ScoredRun, windows: int = WINDOWS) -> None:
    """Says that the run is over, and when it was."""
    finished_us = BEGIN_US + (windows + 5) * SIZE_US
    update_run(
        run.broker,
        "run-1",
        lambda known: replace(known, status="finished", finished_at_us=finished_us),
        process="system",
        clock=lambda: BEGIN_US,
        topic_prefix=run.prefix,
    )


def labelled(service: str, number: int, odd: Sequence[int] = ODD) -> LabelledWindow:
    return LabelledWindow(
        run_id="run-1",
        service=service,
        start_us=BEGIN_US + number * SIZE_US,
        end_us=BEGIN_US + (number + 1) * SIZE_US,
        revision=0,
        names=(),
        values=(),
        labels=(),
        truth="anomalous" if service == "cart" and number in odd else "normal",
    )


def fault_records(fault_id: str, first: int, behind: int) -> tuple[ServiceFault, FaultEffect, FaultVerdict]:
    begin_us, end_us = BEGIN_US + first * SIZE_US, BEGIN_US + behind * SIZE_US
    return (
        ServiceFault(
            run_id="run-1",
            fault_id=fault_id,
            version=1,
            kind="memory-hog",
            service="cart",
            root_service="cart",
            role="root_cause",
            hops=0,
            severity=1.0,
            requested_at_us=begin_us,
            relation="root",
            applied_at_us=begin_us,
            recovered_at_us=end_us,
        ),
        FaultEffect(
            run_id="run-1",
            fault_id=fault_id,
            service="cart",
            version=1,
            root_service="cart",
            relation="root",
            finding="visible",
            starts_us=(begin_us,),
            ends_us=(end_us,),
            is_open=False,
            through_us=end_us,
            is_final=True,
        ),
        FaultVerdict(
            run_id="run-1",
            fault_id=fault_id,
            service="cart",
            version=1,
            verdict="confirmed",
            is_final=True,
            evidence="",
        ),
    )
