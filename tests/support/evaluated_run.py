"""Records of a simulated run as they lie on the topics: what was true, and what algorithms said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from microservo.domain.evaluation import Read
from schemas.codec import decode_as
from schemas.examples import example_bytes
from schemas.records import (
    Alarm,
    AlgorithmDeployment,
    AnomalyScore,
    Case,
    Experiment,
    FailureClass,
    FaultEffect,
    FaultVerdict,
    LabelledWindow,
    RootCause,
    ServiceFault,
    Truth,
)

S = 1_000_000
SIZE_US = 5 * S
BEGIN_US = 1_769_860_800 * S
WARM_UP = 20
"""Windows until which nothing is injected."""
WINDOWS = 200
SERVICES = ("ads", "cart", "frontend")
FAULTS = tuple(
    (f"fault-{number}", SERVICES[number % 3], 30 + 20 * number, 36 + 20 * number) for number in range(8)
)
"""Id, root and only visible service, first window, the one behind the last."""
KINDS = ("cpu-hog", "network-delay")


def start_us(number: int) -> int:
    return BEGIN_US + number * SIZE_US


def experiment() -> Experiment:
    return Experiment(
        run_id="run-1",
        status="running",
        seed=7,
        target="test",
        started_at_us=BEGIN_US,
        window_us=SIZE_US,
        first_cut_us=2 * S,
        final_cut_us=30 * S,
        start_offsets={},
        end_offsets={},
        versions={},
        fault_free_until_us=start_us(WARM_UP),
    )


def truth_of(service: str, number: int) -> Truth:
    """Anomalous while the fault is visible, masked in the two windows behind it."""
    for _, root, first, behind in FAULTS:
        if root == service and first <= number < behind:
            return "anomalous"
        if root == service and behind <= number < behind + 2:
            return "masked"
    return "normal"


def labelled(service: str, number: int, *, truth: Truth | None = None, revision: int = 0) -> LabelledWindow:
    return LabelledWindow(
        run_id="run-1",
        service=service,
        start_us=start_us(number),
        end_us=start_us(number + 1),
        revision=revision,
        names=(),
        values=(),
        labels=(),
        truth=truth or truth_of(service, number),
    )


def fault_records(place: int, *, is_final: bool = True) -> tuple[ServiceFault, FaultEffect, FaultVerdict]:
    """What is published of a fault: in force 1 s into its first window, visible 2 s into it."""
    fault_id, service, first, behind = FAULTS[place]
    applied_us, recovered_us = start_us(first) + S, start_us(behind) - S
    return (
        ServiceFault(
            run_id="run-1",
            fault_id=fault_id,
            version=3,
            kind=KINDS[place % len(KINDS)],
            service=service,
            root_service=service,
            role="root_cause",
            hops=0,
            severity=0.8,
            requested_at_us=applied_us - S,
            relation="root",
            applied_at_us=applied_us,
            recovered_at_us=recovered_us,
        ),
        FaultEffect(
            run_id="run-1",
            fault_id=fault_id,
            service=service,
            version=2,
            root_service=service,
            relation="root",
            finding="visible",
            starts_us=(applied_us + S,),
            ends_us=(recovered_us,),
            is_open=False,
            through_us=recovered_us + S,
            is_final=is_final,
        ),
        FaultVerdict(
            run_id="run-1",
            fault_id=fault_id,
            service=service,
            version=2,
            verdict="confirmed",
            is_final=is_final,
            evidence="",
        ),
    )


def truths(numbers: Sequence[int] = range(WINDOWS)) -> list[Read]:
    """The run, all labels, all faults."""
    return [
        experiment(),
        *(labelled(service, number) for service in SERVICES for number in numbers),
        *(record for place in range(len(FAULTS)) for record in fault_records(place)),
    ]


def score_of(name: str, service: str, number: int) -> float:
    """Of a detector that knows all, one that is good, or one that knows nothing."""
    chance = Random(f"{name}/{service}/{number}").random()
    is_anomalous = truth_of(service, number) == "anomalous"
    return {
        "oracle": 0.1 * chance + is_anomalous,
        "good": 0.9 * chance + 0.4 * is_anomalous,
        "random": chance,
        "always": 1.0,
        "never": 0.0,
        "constant": SERVICES.index(service) / 10,
    }[name]


def scores(name: str, numbers: Sequence[int] = range(WINDOWS), *, version: int = 1) -> list[AnomalyScore]:
    return [
        AnomalyScore(
            run_id="run-1",
            service=service,
            start_us=start_us(number),
            end_us=start_us(number + 1),
            revision=0,
            algorithm=name,
            algorithm_version=version,
            score=score_of(name, service, number),
            scored_at_us=start_us(number + 1) + 3 * S,
            latency_us=S,
            input_sha256=hashlib.sha256(f"{service}/{number}".encode()).hexdigest(),
        )
        for number in numbers
        for service in SERVICES
    ]


def alarm(name: str, service: str, first: int, closed: int | None, *, raised_s: float = 3.0) -> Alarm:
    """Opened by window `first`, closed by window `closed`."""
    opened_us = start_us(first + 1)
    return Alarm(
        run_id="run-1",
        alarm_id=f"{name}@1/{service}/{opened_us}",
        algorithm=name,
        algorithm_version=1,
        service=service,
        opened_us=opened_us,
        closed_us=None if closed is None else start_us(closed + 1),
        score=1.0,
        threshold=0.5,
        peak=1.0,
        raised_at_us=opened_us + round(raised_s * S),
        latency_us=S,
    )


def alarms(name: str) -> list[Read]:
    """An alarm in the second window of each fault but the last one."""
    return [
        each
        for _, service, first, behind in FAULTS[:-1]
        for each in (alarm(name, service, first + 1, None), alarm(name, service, first + 1, behind + 1))
    ]


def alarm_case(detector: str, service: str, first: int) -> Case:
    opened_us = start_us(first + 1)
    return Case(
        run_id="run-1",
        case_id=f"{detector}@1-{opened_us}",
        origin="alarm",
        detector=detector,
        detector_version=1,
        service=service,
        opened_us=opened_us,
        until_us=opened_us,
        published_at_us=opened_us + 3 * S,
    )


def failure_class(
    case: Case, *kinds: str, probabilities: tuple[float, ...] = (), name: str = "classifier"
) -> FailureClass:
    return FailureClass(
        run_id="run-1",
        case_id=case.case_id,
        algorithm=name,
        algorithm_version=1,
        kinds=kinds,
        probabilities=probabilities or tuple(1.0 for _ in kinds),
        reason="",
        input_sha256="",
        classified_at_us=0,
        latency_us=0,
    )


def root_cause(case: Case, *ranks: str, name: str = "ranker") -> RootCause:
    return RootCause(
        run_id="run-1",
        case_id=case.case_id,
        algorithm=name,
        algorithm_version=1,
        ranks=ranks,
        candidates=len(SERVICES),
        reason="" if ranks else "it failed",
        input_sha256="ab" * 32,
        ranked_at_us=case.published_at_us + S,
        latency_us=S,
        cpu_us=1000,
    )


def deployment(name: str, *, is_control: bool = False, is_fenced: bool = True) -> AlgorithmDeployment:
    example = decode_as(AlgorithmDeployment, example_bytes()["algorithm_deployment", 1]["always"])
    return replace(example, algorithm=name, version=1, is_control=is_control, is_fenced=is_fenced)
