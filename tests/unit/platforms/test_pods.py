"""What is kept of pods, and which changes of instances come of it."""

from __future__ import annotations

from typing import Any

import pytest

from microservo.platforms.kubernetes.discovery import changes
from microservo.platforms.kubernetes.meter import quantity
from microservo.platforms.kubernetes.pods import Pod, instance_of, pod_of

SECOND_US = 1_000_000
NOON_US = 1_767_355_200 * SECOND_US


def at(seconds: int) -> str:
    return f"2026-01-02T12:00:{seconds:02}Z"


def pod(*, started: int | None = 1, ended: int | None = None, phase: str = "Running", **metadata: Any) -> Pod:
    state = {"waiting": {}} if started is None else {"running": {"startedAt": at(started)}}
    last = {} if ended is None else {"terminated": {"finishedAt": at(ended)}}
    return pod_of(
        {
            "metadata": {
                "name": "redis-cart-0",
                "namespace": "shop",
                "uid": "u1",
                "creationTimestamp": at(0),
                **metadata,
            },
            "spec": {
                "nodeName": "node-1",
                "containers": [
                    {"name": "proxy"},
                    {"name": "app", "ports": [{"containerPort": 6379}, {"containerPort": 9121}]},
                ],
            },
            "status": {
                "phase": phase,
                "containerStatuses": [
                    {"state": state, "lastState": last},
                    {"state": {"running": {"startedAt": at(0)}}, "lastState": {}},
                ],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(2)}],
            },
        }
    )


def told(before: Pod | None, now: Pod, *, is_last: bool = False) -> list[tuple[str, int]]:
    found = changes(before, now, "redis-cart", is_last=is_last, now_us=NOON_US + 59 * SECOND_US)
    return [(change.state, (change.at_us - NOON_US) // SECOND_US) for change in found]


def test_the_container_that_is_meant_by_default_comes_first_and_its_first_port_is_the_pods() -> None:
    found = pod(annotations={"kubectl.kubernetes.io/default-container": "app"})
    assert found.containers == ("app", "proxy")
    assert found.port == 6379
    assert found.id == "shop/redis-cart-0"


def test_a_pod_is_up_when_each_container_runs_since_the_youngest_was_started() -> None:
    assert (pod().is_up, pod().started_at_us) == (True, NOON_US + SECOND_US)
    assert not pod(started=None).is_up
    assert not pod(phase="Pending").is_up
    assert not pod(deletionTimestamp=at(30)).is_up


def test_a_pod_that_is_being_deleted_ends_when_that_was_asked_for() -> None:
    assert (
        pod(deletionTimestamp=at(40), deletionGracePeriodSeconds=30).ended_at_us == NOON_US + 10 * SECOND_US
    )


def test_an_instance_has_the_labels_of_its_pod() -> None:
    found = pod(labels={"app": "cart"})
    assert instance_of(found, "cart").labels == {"app": "cart"}
    assert instance_of(pod(labels=None), "cart").labels == {}
    assert found in {found}


def test_a_new_pod_joins_when_it_runs() -> None:
    assert told(None, pod(started=None)) == []
    assert told(pod(started=None), pod(started=7)) == [("up", 7)]


def test_a_container_that_is_killed_goes_down_and_comes_back_under_the_same_id() -> None:
    assert told(pod(), pod(started=None, ended=20)) == [("down", 20)]
    assert told(pod(started=None, ended=20), pod(started=22, ended=20)) == [("up", 22)]
    assert told(pod(), pod(started=22, ended=20)) == [("down", 20), ("up", 22)]


def test_a_pod_that_went_while_nobody_looked_ends_when_that_is_seen() -> None:
    assert told(pod(), pod(), is_last=True) == [("down", 59)]


def test_a_pod_of_the_same_name_with_another_uid_is_another_instance() -> None:
    assert told(pod(), pod(started=30, uid="u2")) == [("down", 59), ("up", 30)]


def test_a_change_that_concerns_neither_start_nor_end_is_none_of_an_instance() -> None:
    assert told(pod(), pod(labels={"a": "b"})) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("12500000n", 0.0125), ("64Mi", 67_108_864.0), ("1k", 1000.0), ("3", 3.0)],
)
def test_quantities_are_read_as_the_api_writes_them(text: str, value: float) -> None:
    assert quantity(text) == value
