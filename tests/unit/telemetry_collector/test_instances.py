"""Nobody's records go under another's name, and who sends is told once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from microservo.domain.identity import Identity
from microservo.domain.rows import MetricRows, coded
from microservo.sources.source import Parcel
from schemas.records import ServiceInstance
from services.telemetry_collector.instances import Instances

TARGET = Identity(is_target=True, name="cartservice")
STRANGER = Identity(name="cartservice", version="9")


def rows(identity: Identity, instance: str = "cartservice-0", scopes: tuple[str, ...] = ()) -> MetricRows:
    return MetricRows(
        service="cartservice",
        instance=instance,
        identity=identity,
        scopes=scopes,
        time_us=np.array([1]),
        name=coded(["cpu"]),
        value=np.array([0.5]),
    )


def placed(instances: Instances, *each: MetricRows) -> list[str]:
    return [found.service for found in instances.placed(Parcel(signal="metrics", rows=each)).rows]


def told(instances: Instances) -> list[ServiceInstance]:
    return list(instances.drain("run", 7))


def test_a_stranger_of_the_name_of_a_target_service_goes_under_another() -> None:
    instances = Instances()
    assert placed(instances, rows(TARGET), rows(STRANGER)) == ["cartservice", "foreign/cartservice"]
    assert placed(instances, rows(STRANGER)) == ["foreign/cartservice"]
    found = told(instances)
    assert [(each.service, each.version) for each in found] == [
        ("cartservice", ""),
        ("foreign/cartservice", "9"),
    ]


def test_pods_of_the_target_keep_its_services_names_and_those_of_other_namespaces_do_not() -> None:
    instances = Instances(["shop", "back"])
    unmarked = [Identity(name="cartservice", pod=pod) for pod in ("", "cart-1", "shop/cart-1", "back/cart-2")]
    elsewhere = Identity(name="cartservice", pod="other/cart-1")
    found = placed(instances, rows(TARGET), *map(rows, unmarked), rows(elsewhere))
    assert found == ["cartservice"] * 5 + ["foreign/cartservice"]


def test_a_service_that_telemetry_names_with_its_namespace_of_the_cluster_is_the_targets() -> None:
    instances = Instances(["shop"])
    found = placed(instances, rows(TARGET))
    for namespace in ("shop", "other"):
        sent = rows(Identity(name="cartservice", namespace=namespace))
        found += placed(instances, replace(sent, service=f"{namespace}/cartservice"))
    assert found == ["cartservice", "cartservice", "other/cartservice"]


def test_a_stranger_whose_name_is_no_target_service_keeps_it() -> None:
    parcel = Parcel(signal="metrics", rows=[rows(STRANGER)])
    assert Instances().placed(parcel) is parcel


def test_an_instance_is_told_when_it_is_new_or_says_something_new() -> None:
    instances = Instances()
    placed(instances, rows(TARGET))
    placed(instances, rows(TARGET), rows(Identity(is_target=True)))
    (first,) = told(instances)
    assert (first.run_id, first.seen_us, first.kind, first.name) == ("run", 7, "service", "cartservice")
    placed(instances, rows(TARGET), rows(Identity(is_target=True)))
    assert told(instances) == []
    placed(instances, rows(Identity(is_target=True, name="cartservice", pid="12"), scopes=("flask",)))
    (changed,) = told(instances)
    assert (changed.pid, changed.scopes) == ("12", ("flask",))
