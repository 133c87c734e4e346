"""What Chaos Mesh says of its objects, and the instants that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from microservo.domain.faults.catalogue import check_id
from microservo.platforms.kubernetes.chaos.instants import (
    CoreEvent,
    Instant,
    core_events,
    cycles,
    is_exact,
    of_second,
)
from microservo.platforms.kubernetes.chaos.others import is_id_of_others, is_ours, kind_of, requests_of
from microservo.platforms.kubernetes.chaos.status import status_of
from schemas.records import FaultRequest

SECOND_US = 1_000_000
NOON_US = 1_767_355_200 * SECOND_US
POD = "shop/cart-0"


def at(seconds: int) -> str:
    return f"2026-01-02T12:00:{seconds:02}Z"


def event(operation: str, seconds: int, message: str = "") -> dict[str, str]:
    kind = "Failed" if message else "Succeeded"
    return {"type": kind, "operation": operation, "timestamp": at(seconds), "message": message}


def record(
    *events: dict[str, str], phase: str = "Injected", key: str = ".", pod: str = POD
) -> dict[str, Any]:
    return {
        "id": pod,
        "selectorKey": key,
        "phase": phase,
        "injectedCount": 1,
        "recoveredCount": 0,
        "events": list(events),
    }


def found(*records: dict[str, Any], phase: str = "Run", spec: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "NetworkChaos",
        "metadata": {
            "name": "slow",
            "namespace": "shop",
            "uid": "11112222-3333-4444-5555-666677778888",
            "creationTimestamp": at(0),
            **metadata,
        },
        "spec": spec or {"action": "delay"},
        "status": {"experiment": {"desiredPhase": phase, "containerRecords": list(records)}},
    }


def exact(operation: Any, at_us: int, pod: str = POD) -> CoreEvent:
    return CoreEvent(record=pod, operation=operation, at_us=at_us)


def core(name: str, reason: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": {"chaos-mesh.org/id": POD}}, "reason": reason}


@pytest.mark.parametrize(
    ("phase", "events", "injected"),
    [
        ("Not Injected", [], False),
        ("Not Injected/Wait", [], False),
        ("Injected", [event("Apply", 1)], True),
        ("Injected/Wait", [event("Apply", 1)], True),
        ("Not Injected", [event("Apply", 1), event("Recover", 2)], False),
        ("Not Injected/Wait", [event("Apply", 1), event("Recover", 2)], False),
    ],
)
def test_a_fault_is_in_force_from_its_record_not_from_its_conditions(
    phase: str, events: list[dict[str, str]], injected: bool
) -> None:
    status = status_of(found(record(*events, phase=phase)))
    assert status.is_injected is injected
    assert status.is_in_force is injected


@pytest.mark.parametrize(
    ("direction", "carriers"),
    [("to", [POD]), ("from", ["shop/front-0"]), ("both", [POD, "shop/front-0"])],
)
def test_only_the_side_of_the_network_that_has_the_fault_is_its_root(
    direction: str, carriers: list[str]
) -> None:
    peer = record(event("Apply", 1), key=".Target", pod="shop/front-0")
    status = status_of(found(record(event("Apply", 1)), peer, spec={"direction": direction}))
    assert [each.id for each in status.carriers] == carriers


def test_an_object_that_selected_nothing_is_neither_selected_nor_injected() -> None:
    nothing = found()
    nothing["status"] = {"conditions": [{"type": "Selected", "status": "False"}], "experiment": {}}
    status = status_of(nothing)
    assert (status.selected, status.is_injected, status.carriers) == (False, False, ())


def test_why_an_attempt_failed_is_said_until_one_succeeds() -> None:
    failed = event("Apply", 1, "no such container")
    assert status_of(found(record(failed, phase="Not Injected"))).failure == f"{POD}: no such container"
    assert status_of(found(record(failed, event("Apply", 2)))).failure == ""


def test_a_paused_object_says_so() -> None:
    paused = found(annotations={"experiment.chaos-mesh.org/pause": "true"}, phase="Stop")
    assert status_of(paused).paused
    assert status_of(paused).stopping


def test_the_name_of_a_core_event_has_its_nanoseconds() -> None:
    nanoseconds = NOON_US * 1000 + 123_456_789
    events = core_events(
        [
            core(f"slow.{nanoseconds:x}", "Applied"),
            core(f"slow.{nanoseconds - 1000:x}", "Recovered"),
            core("slow.no-number", "Applied"),
            core(f"slow.{nanoseconds:x}", "Started"),
        ]
    )
    assert events == (exact("Recover", NOON_US + 123_455), exact("Apply", NOON_US + 123_456))


def test_an_instant_is_that_of_the_core_event_to_the_microsecond() -> None:
    (reading,) = status_of(
        found(record(event("Apply", 5), event("Recover", 9), phase="Not Injected"))
    ).carriers
    applied, recovered = NOON_US + 5_250_001, NOON_US + 9_999_999
    (cycle,) = cycles(
        reading,
        (exact("Apply", applied), exact("Recover", recovered)),
        asked_us=applied - 40_000,
        ended_us=recovered - 2 * SECOND_US,
    )
    assert (cycle.applied.at_us, cycle.applied.within_us) == (applied, 40_000)
    assert cycle.recovered is not None
    assert (cycle.recovered.at_us, cycle.recovered.within_us) == (recovered, SECOND_US)


def test_without_core_events_an_instant_is_the_middle_of_its_second_and_a_round_wider() -> None:
    (reading,) = status_of(found(record(event("Apply", 5)))).carriers
    (cycle,) = cycles(reading, ())
    assert cycle.applied.at_us == NOON_US + 5_500_000
    assert cycle.applied.within_us == 500_000 + SECOND_US
    assert cycle.recovered is None


def test_a_second_is_narrowed_by_what_was_seen_before_and_after_but_not_by_another_clock() -> None:
    second = NOON_US + 5 * SECOND_US
    narrow = of_second(second, since_us=second + 200_000, seen_us=second + 400_000)
    assert (narrow.at_us, narrow.within_us) == (second + 300_000, 100_000)
    other = of_second(second, since_us=second - 9 * SECOND_US, seen_us=second + 9 * SECOND_US)
    assert (other.at_us, other.within_us) == (second + 500_000, 500_000)


def test_each_pause_and_each_time_after_it_is_a_cycle_with_instants_of_its_own() -> None:
    reading = record(event("Apply", 1), event("Recover", 3), event("Apply", 6), event("Recover", 8))
    (carrier,) = status_of(found(reading)).carriers
    events = tuple(
        exact(operation, NOON_US + 1000 * milliseconds)
        for operation, milliseconds in (
            ("Apply", 1100),
            ("Recover", 3200),
            ("Apply", 6300),
            ("Recover", 8400),
        )
    )
    both = cycles(carrier, events)
    assert [each.applied.at_us - NOON_US for each in both] == [1_100_000, 6_300_000]
    assert [each.recovered and each.recovered.at_us - NOON_US for each in both] == [3_200_000, 8_400_000]


def test_what_a_hundred_failures_pushed_out_of_a_record_is_known_by_its_core_events() -> None:
    failing = [event("Recover", 40, "container daemon is not reachable")] * 100
    begun, ended = exact("Apply", NOON_US + 10_500_000), exact("Recover", NOON_US + 20_250_000)
    again = exact("Apply", NOON_US + 30_125_000)
    (stuck,) = status_of(found(record(*failing))).records
    of_another = exact("Apply", NOON_US + 1_000_000, pod="shop/cart-1")
    first, second = cycles(stuck, [of_another, begun, ended, again])
    assert (first.applied.at_us, first.recovered and first.recovered.at_us) == (begun.at_us, ended.at_us)
    assert (second.applied.at_us, second.recovered) == (again.at_us, None)
    (freed,) = status_of(found(record(*failing[1:], event("Recover", 50)))).records
    *_, last = cycles(freed, [begun, ended, again, exact("Recover", NOON_US + 50_750_000)])
    assert last.recovered is not None
    assert (last.applied.at_us, last.recovered.at_us) == (again.at_us, NOON_US + 50_750_000)


def service_of(instance: str) -> str | None:
    name = instance.partition("/")[2]
    return {"cart-0": "cart", "cart-1": "cart", "redis-cart-0": "redis-cart"}.get(name)


def told(
    chaos: dict[str, Any],
    *events: CoreEvent,
    gone_us: int | None = None,
    ended_us: Mapping[str, int] | None = None,
) -> list[FaultRequest]:
    def ended(record: str, _applied: Instant) -> Instant | None:
        at_us = (ended_us or {}).get(record)
        return None if at_us is None else Instant(at_us=at_us, within_us=SECOND_US)

    return list(requests_of(chaos, events, service_of, gone_us=gone_us, ended_of=ended))


def test_a_fault_of_others_is_declared_once_for_each_service_that_it_acts_on() -> None:
    chaos = found(
        record(event("Apply", 5)),
        record(event("Apply", 6), pod="shop/cart-1"),
        record(event("Apply", 5), pod="shop/redis-cart-0"),
        record(event("Apply", 5), pod="shop/not-of-the-target-0"),
        ownerReferences=[{"kind": "Schedule", "name": "nightly"}],
    )
    cart, redis = told(chaos, exact("Apply", NOON_US + 5_100_000))
    assert (cart.action, cart.kind, cart.service) == ("declare", "networkchaos-delay", "cart")
    assert cart.instances == ("shop/cart-0", "shop/cart-1")
    assert cart.start_at_us == NOON_US + 5_100_000
    assert cart.requested_by == "NetworkChaos slow of Schedule nightly"
    assert redis.service == "redis-cart"
    assert cart.fault_id == "11112222-3333-4444-cart-1"
    assert told(chaos, exact("Apply", NOON_US + 5_100_000)) == [cart, redis]


def test_what_a_schedule_or_a_workflow_made_says_so() -> None:
    by_schedule = found(record(event("Apply", 5)), ownerReferences=[{"kind": "Schedule", "name": "nightly"}])
    (declared,) = told(by_schedule)
    assert declared.parameters == {"object": "shop/slow", "schedule": "shop/nightly"}
    by_workflow = found(
        record(event("Apply", 5)),
        ownerReferences=[{"kind": "WorkflowNode", "name": "serial-x7"}],
        labels={"chaos-mesh.org/workflow": "drill", "chaos-mesh.org/controlled-by": "serial-x7"},
    )
    (declared,) = told(by_workflow)
    assert declared.parameters == {"object": "shop/slow", "workflow": "shop/drill"}
    assert declared.requested_by == "NetworkChaos slow of WorkflowNode serial-x7 of Workflow drill"


def test_two_containers_of_a_pod_are_one_instance_that_has_a_fault_from_the_first_to_the_last() -> None:
    app = record(event("Apply", 5), event("Recover", 8), pod=f"{POD}/app", phase="Not Injected")
    sidecar = record(event("Apply", 6), event("Recover", 9), pod=f"{POD}/sidecar", phase="Not Injected")
    declared, stopped = told(found(app, sidecar))
    assert declared.instances == (POD,)
    assert declared.start_at_us == NOON_US + 5_500_000
    assert stopped.end_at_us == NOON_US + 9_500_000


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        (("cart", "redis-cart"), {"cart", "redis-cart"}),
        (("recommendations-of-the-day", "recommendations-of-the-night"), None),
        (("web.shop", "web-shop", "web shop"), None),
    ],
)
def test_services_have_ids_of_their_own_whatever_their_names_are(
    services: tuple[str, ...], expected: set[str] | None
) -> None:
    chaos = found(*(record(event("Apply", 5), pod=f"shop/{number}") for number in range(len(services))))
    requests = requests_of(chaos, (), lambda instance: services[int(instance.partition("/")[2])])
    ids = {each.fault_id for each in requests}
    assert len(ids) == len(services)
    for each in ids:
        check_id(each)
        assert is_id_of_others(each)
    if expected is not None:
        assert ids == {f"11112222-3333-4444-{name}-1" for name in expected}


def test_what_was_over_when_it_was_seen_is_declared_with_its_end() -> None:
    chaos = found(record(event("Apply", 5), event("Recover", 9), phase="Not Injected"))
    declared, stopped = told(chaos)
    assert declared.end_at_us == stopped.end_at_us == NOON_US + 9_500_000


def test_an_end_in_the_second_of_the_beginning_is_behind_it() -> None:
    chaos = found(record(event("Apply", 5), event("Recover", 5), phase="Not Injected"))
    declared, stopped = told(chaos)
    assert declared.start_at_us is not None
    assert stopped.end_at_us == declared.start_at_us + 1


def test_a_fault_that_is_in_force_on_some_of_its_pods_is_spreading_unless_the_others_have_failed() -> None:
    first = record(event("Apply", 5))
    waiting = record(pod="shop/cart-1", phase="Not Injected/Wait")
    failed = record(event("Apply", 5, "no daemon"), pod="shop/cart-1", phase="Not Injected")
    assert status_of(found(first, waiting)).is_spreading
    assert not status_of(found(first, failed)).is_spreading
    assert not status_of(found(waiting)).is_spreading
    assert not status_of(found(first, waiting, phase="Stop")).is_spreading


def test_an_attempt_lacks_its_core_event_until_that_of_its_own_is_there() -> None:
    (once,) = status_of(found(record(event("Apply", 5)))).carriers
    assert not is_exact(once, ())
    assert is_exact(once, (exact("Apply", NOON_US + 5_100_000),))
    again = record(event("Apply", 5), event("Recover", 5), event("Apply", 5))
    (twice,) = status_of(found(again)).carriers
    events = (exact("Apply", NOON_US + 5_100_000), exact("Recover", NOON_US + 5_200_000))
    assert not is_exact(twice, events)
    assert is_exact(twice, (*events, exact("Apply", NOON_US + 5_300_000)))


def test_the_end_of_a_fault_of_others_is_told_when_the_last_of_its_pods_is_free_of_it() -> None:
    first = record(event("Apply", 5), event("Recover", 9), phase="Not Injected")
    second = record(event("Apply", 5), pod="shop/cart-1")
    assert [each.action for each in told(found(first, second))] == ["declare"]
    second = record(event("Apply", 5), event("Recover", 11), pod="shop/cart-1", phase="Not Injected")
    _, stop = told(found(first, second), exact("Recover", NOON_US + 11_700_000, "shop/cart-1"))
    assert (stop.action, stop.end_at_us) == ("stop", NOON_US + 11_700_000)


def test_what_was_in_force_when_its_object_went_is_over_then() -> None:
    gone_us = NOON_US + 20 * SECOND_US
    _, stop = told(found(record(event("Apply", 5))), gone_us=gone_us)
    assert (stop.end_at_us, stop.within_us) == (gone_us, SECOND_US)


def test_a_fault_of_others_ends_with_the_last_pod_that_it_acts_on() -> None:
    records = (record(event("Apply", 5)), record(event("Apply", 5), pod="shop/cart-1"))
    ends_us = {"shop/cart-0": NOON_US + 8 * SECOND_US, "shop/cart-1": NOON_US + 9 * SECOND_US}
    first = dict(list(ends_us.items())[:1])
    assert [each.action for each in told(found(*records), ended_us=first)] == ["declare"]
    _, stop = told(found(*records), ended_us=ends_us)
    assert (stop.action, stop.end_at_us) == ("stop", NOON_US + 9 * SECOND_US)


@pytest.mark.parametrize("action", ["pod-kill", "container-kill"])
def test_a_kill_ends_with_what_comes_instead_whatever_happens_to_its_object(action: str) -> None:
    kept = found(record(event("Apply", 5)), spec={"action": action})
    removed = found(
        record(event("Apply", 5), event("Recover", 7), phase="Not Injected"), spec={"action": action}
    )
    gone_us, ready_us = NOON_US + 7 * SECOND_US, NOON_US + 9 * SECOND_US
    assert [each.action for each in told(removed, gone_us=gone_us)] == ["declare"]
    for chaos in (kept, removed):
        _, stop = told(chaos, ended_us={POD: ready_us})
        assert (stop.action, stop.end_at_us) == ("stop", ready_us)


def test_a_fault_of_others_that_was_paused_and_resumed_is_two_faults() -> None:
    chaos = found(record(event("Apply", 1), event("Recover", 3), event("Apply", 6)))
    assert [(each.fault_id[-6:], each.action) for each in told(chaos)] == [
        ("cart-1", "declare"),
        ("cart-1", "stop"),
        ("cart-2", "declare"),
    ]


def test_ours_are_told_from_those_of_others_by_their_label() -> None:
    assert is_ours(found(labels={"app.kubernetes.io/managed-by": "microservo"}))
    assert not is_ours(found(labels={"app.kubernetes.io/managed-by": "Helm"}))
    assert not is_ours(found())


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("NetworkChaos", {"action": "loss"}, "networkchaos-loss"),
        ("HTTPChaos", {"target": "Request", "abort": True}, "httpchaos-abort"),
        ("HTTPChaos", {"target": "Request", "delay": "1s"}, "httpchaos-delay"),
        (
            "StressChaos",
            {"stressors": {"cpu": {"workers": 1}, "memory": {"workers": 1}}},
            "stresschaos-cpu-memory",
        ),
        ("IOChaos", {"action": "attrOverride"}, "iochaos-attroverride"),
        ("TimeChaos", {"timeOffset": "1s"}, "timechaos"),
    ],
)
def test_kinds_of_others_never_share_a_name(kind: str, spec: dict[str, Any], expected: str) -> None:
    assert kind_of({"kind": kind, "spec": spec}) == expected
