"""A shipped topology as an application that the manager can launch."""

from __future__ import annotations

import pytest

from microservo.domain.manager.entities import (
    App,
    Dependency,
    Service,
    document_of,
    entity_key,
    entity_of,
)
from microservo.domain.manager.topologies import application_of
from microservo.platforms.local.topology_files import read_topology, shipped_topologies


@pytest.mark.parametrize("name", shipped_topologies())
def test_an_application_has_the_services_dependencies_and_order_of_its_topology(name: str) -> None:
    topology = read_topology(name)
    entities = application_of(topology)
    services = [each for each in entities if isinstance(each, Service)]
    dependencies = [each for each in entities if isinstance(each, Dependency)]
    (app,) = (each for each in entities if isinstance(each, App))
    assert {each.name for each in services} == set(topology.services)
    assert [(each.service, each.dependency) for each in dependencies] == list(topology.edges())
    assert {each.service: each.launch_order for each in app.services} == {
        each.name: each.launch_order for each in topology.services.values()
    }
    assert app.name == name


def test_databases_are_told_as_such_without_a_volume_and_labels_go_on() -> None:
    services = {
        each.name: each for each in application_of(read_topology("sock-shop")) if isinstance(each, Service)
    }
    assert (services["carts-db"].type, services["carts-db"].is_stateful) == ("database", False)
    assert (services["carts"].type, services["carts"].is_stateful) == ("backend", False)
    assert services["carts-db"].output_label == "cartsdb"
    assert services["carts"].memory_bytes > 0


@pytest.mark.parametrize("name", shipped_topologies())
def test_each_entity_is_a_document_that_can_be_read_again(name: str) -> None:
    for entity in application_of(read_topology(name)):
        assert entity_of(entity_key(entity), document_of(entity)) == entity
