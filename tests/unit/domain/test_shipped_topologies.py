"""What holds of every topology that comes with MicroServo, and what of each by its sources."""

from __future__ import annotations

import re

import pytest

from microservo.domain.launch_waves import launch_waves
from microservo.domain.topology import Topology
from microservo.platforms.local.topology_files import read_topology, shipped_topologies, topology_path

SERVICES = {
    "crash-test": 1,
    "hotel-reservation": 17,
    "media": 32,
    "online-boutique": 11,
    "social-network": 22,
    "sock-shop": 13,
}

every_topology = pytest.mark.parametrize("name", SERVICES)


def test_exactly_these_are_shipped() -> None:
    assert shipped_topologies() == sorted(SERVICES)


@every_topology
def test_a_topology_has_its_services_and_the_name_of_its_file(name: str) -> None:
    topology = read_topology(name)
    assert (topology.name, len(topology.services)) == (name, SERVICES[name])


@every_topology
def test_a_file_says_what_it_stands_for(name: str) -> None:
    text = topology_path(name).read_text(encoding="utf-8")
    head = text.partition("name = ")[0]
    assert "Sources: " in head or name in ("crash-test", "online-boutique")
    assert head.startswith("# ")


@every_topology
def test_every_endpoint_of_every_service_but_spare_ones_is_reached_by_a_journey(name: str) -> None:
    topology = read_topology(name)
    reached = endpoints_reached(topology)
    assert {service for service, _ in reached} == set(topology.services)
    spare = {
        (service.name, endpoint)
        for service in topology.services.values()
        for endpoint in service.endpoints
        if (service.name, endpoint) not in reached
    }
    assert spare <= {("productcatalogservice", "SearchProducts")}


@every_topology
def test_a_topology_is_noisy_everywhere_but_modestly(name: str) -> None:
    topology = read_topology(name)
    assert 0 < topology.load.amplitude < 0.5
    assert 0 < topology.load.noise < 0.2
    for service in topology.services.values():
        assert service.warnings
        assert service.heap.garbage_kb > 0
        for endpoint in service.endpoints.values():
            noise = endpoint.noise
            assert 0 < noise.error_share + noise.busy_share + noise.reset_share < 0.005
            assert 0 < noise.slow_share < 0.01
            assert 0 < noise.warning_share < 0.02
            assert noise.crash_share == 0 or name == "crash-test"


@every_topology
def test_a_topology_can_be_launched_with_its_databases_before_and_its_entry_last(name: str) -> None:
    topology = read_topology(name)
    orders = {each.name: each.launch_order for each in topology.services.values()}
    waves = launch_waves(orders, topology.edges())
    place = {service: number for number, wave in enumerate(waves) for service in wave}
    assert waves[-1] == (topology.entry,)
    for service in topology.services.values():
        if service.type == "database":
            assert place[service.name] == 0
    waited = {edge for edge in topology.edges() if place[edge[1]] < place[edge[0]]}
    assert set(topology.edges()) - waited <= {("social-graph-service", "user-service")}


@every_topology
def test_only_the_entry_is_a_frontend_and_databases_call_nobody(name: str) -> None:
    topology = read_topology(name)
    assert [each.name for each in topology.services.values() if each.type == "frontend"] == [topology.entry]
    for service in topology.services.values():
        if service.type == "database":
            assert topology.callees(service.name) == ()


@every_topology
def test_labels_are_given_once(name: str) -> None:
    labels = [each.output_label for each in read_topology(name).services.values() if each.output_label]
    assert labels
    assert len(set(labels)) == len(labels)


def test_an_order_of_sock_shop_asks_whom_the_original_asks() -> None:
    shop = read_topology("sock-shop")
    order = shop.services["orders"].endpoints["NewOrder"]
    assert [f"{call.service}.{call.endpoint}" for call in order.calls] == [
        "user.GetAddresses",
        "user.GetCustomer",
        "user.GetCards",
        "carts.GetItems",
        "payment.Authorise",
        "shipping.PostShipping",
        "orders-db.Insert",
    ]
    assert shop.callers()["queue-master"] == ("rabbitmq",)


def test_a_search_of_hotel_reservation_asks_whom_the_original_asks() -> None:
    hotel = read_topology("hotel-reservation")
    assert [call.service for call in hotel.services["frontend"].endpoints["Hotels"].calls] == [
        "search",
        "reservation",
        "profile",
    ]
    assert hotel.callees("search") == ("geo", "rate")
    assert [journey.weight for journey in hotel.journeys] == [600, 390, 5, 5]


def test_a_post_of_social_network_asks_whom_the_original_asks() -> None:
    network = read_topology("social-network")
    assert network.callees("compose-post-service") == (
        "home-timeline-service",
        "media-service",
        "post-storage-service",
        "text-service",
        "unique-id-service",
        "user-service",
        "user-timeline-service",
    )
    assert network.callees("text-service") == ("url-shorten-service", "user-mention-service")
    assert [journey.weight for journey in network.journeys][:3] == [60, 30, 10]


def test_a_review_of_media_is_stored_once_by_the_service_that_gathers_its_parts() -> None:
    media = read_topology("media")
    stores = [
        endpoint.name
        for endpoint in media.services["compose-review-service"].endpoints.values()
        if any(call.service == "review-storage-service" for call in endpoint.calls)
    ]
    assert stores == ["UploadUniqueId"]
    assert (
        media.services["nginx-web-server"].endpoints["ComposeReview"].calls[-1].service == "unique-id-service"
    )
    assert media.callees("page-service") == (
        "cast-info-service",
        "movie-info-service",
        "movie-review-service",
        "plot-service",
    )


def test_the_crash_tester_crashes_about_once_in_four_hundred_requests() -> None:
    topology = read_topology("crash-test")
    total = sum(journey.weight for journey in topology.journeys)
    endpoints = topology.services["crash-tester"].endpoints
    share = sum(
        journey.weight / total * endpoints[journey.steps[0].endpoint].noise.crash_share
        for journey in topology.journeys
    )
    assert share == pytest.approx(1 / 400)


@every_topology
def test_names_are_those_that_datasets_and_faults_can_carry(name: str) -> None:
    for service in read_topology(name).services:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", service)
        assert "_" not in service


def endpoints_reached(topology: Topology) -> set[tuple[str, str]]:
    """All (service, endpoint) that journeys ask for, directly or through others."""
    reached: set[tuple[str, str]] = set()
    todo = [(topology.entry, step.endpoint) for journey in topology.journeys for step in journey.steps]
    while todo:
        service, endpoint = todo.pop()
        if (service, endpoint) in reached:
            continue
        reached.add((service, endpoint))
        calls = topology.services[service].endpoints[endpoint].all_calls()
        todo += [(call.service, call.endpoint) for call in calls if call.share > 0]
    return reached
