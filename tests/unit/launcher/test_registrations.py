"""Containers at the registries of their regions: there while they take calls, and no longer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from registry_server import TOKEN, Served, serving

from microservo import RegistryClient
from microservo.adapters.ports import free_ports
from microservo.domain.geography import Coordinates
from microservo.platforms.local.launched import Serving, TakingCalls
from services.launcher.registrations import Registrations

TOKYO = Coordinates(35.7, 139.7)
CART = TakingCalls(
    id="cart-1", service="cart", url="http://127.0.0.1:9000", pid=os.getpid(), place=TOKYO, region="Asia"
)
Serve = Callable[[str], Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(serving(name))


def at(served: Served, service: str = "cart") -> list[str]:
    """The ids that a registry has of a service."""
    with RegistryClient(served.url, token=TOKEN) as client:
        return [each.instance_id for each in client.endpoints(service)]


def registry_of(served: Served, region: str) -> Serving:
    return Serving(id=f"registry-{region}", kind="registry", url=served.url, place=TOKYO, region=region)


def test_a_container_is_at_the_registry_of_its_region_as_long_as_it_takes_calls(serve: Serve) -> None:
    asia, europe = serve("asia"), serve("europe")
    containers = [CART, replace(CART, id="cart-2", url="http://127.0.0.1:9001", region="Europe")]
    components = [registry_of(asia, "Asia"), registry_of(europe, "Europe")]
    registrations = Registrations(lambda: containers, lambda: components, elsewhere="", token=TOKEN)
    registrations.look()
    assert (at(asia), at(europe)) == (["cart-1"], ["cart-2"])
    with RegistryClient(asia.url, token=TOKEN) as client:
        (found,) = client.endpoints("cart")
    assert (found.endpoint, found.region) == ("http://127.0.0.1:9000", "Asia")
    assert (found.latitude, found.longitude) == (TOKYO.latitude, TOKYO.longitude)
    del containers[0]
    assert registrations.has("cart-1")
    registrations.look()
    assert not registrations.has("cart-1")
    assert (at(asia), at(europe)) == ([], ["cart-2"])
    registrations.close()
    assert at(europe) == []


def test_a_registry_that_comes_takes_over_and_those_of_one_that_goes_are_registered_elsewhere(
    serve: Serve,
) -> None:
    elsewhere, asia = serve("elsewhere"), serve("asia")
    components: list[Serving] = []
    registrations = Registrations(lambda: [CART], lambda: components, elsewhere=elsewhere.url, token=TOKEN)
    registrations.look()
    assert at(elsewhere) == ["cart-1"]
    components.append(registry_of(asia, "Asia"))
    registrations.look()
    assert (at(elsewhere), at(asia)) == ([], ["cart-1"])
    components.clear()
    registrations.look()
    assert (at(elsewhere), at(asia)) == (["cart-1"], [])
    registrations.close()


def test_where_no_registry_answers_it_is_tried_again_and_others_are_registered_meanwhile(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    [port] = free_ports(1)
    europe = serve("europe")
    other = replace(CART, id="cart-2", url="http://127.0.0.1:9001", region="Europe")
    registrations = Registrations(
        lambda: [CART, other],
        lambda: [registry_of(europe, "Europe")],
        elsewhere=f"http://127.0.0.1:{port}",
        token=TOKEN,
    )
    registrations.look()
    assert (registrations.has("cart-1"), at(europe)) == (False, ["cart-2"])
    assert "cart-1 is not registered" in caplog.text
    with serving("elsewhere", port=port) as served:
        registrations.look()
        assert at(served) == ["cart-1"]
        registrations.close()


def test_what_a_registry_refuses_keeps_nobody_else_from_being_registered(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    asia = serve("asia")
    refused = replace(CART, id="a", service="registry", url="http://127.0.0.1:9001")
    registrations = Registrations(
        lambda: [refused, CART], lambda: [registry_of(asia, "Asia")], elsewhere="", token=TOKEN
    )
    registrations.look()
    assert (registrations.has("a"), at(asia)) == (False, ["cart-1"])
    assert "that of the registries themselves" in caplog.text
    registrations.close()


def test_in_a_region_without_a_registry_nothing_is_registered_where_no_other_is_named(serve: Serve) -> None:
    asia = serve("asia")
    europe = replace(CART, region="Europe")
    with Registrations(
        lambda: [europe], lambda: [registry_of(asia, "Asia")], elsewhere="", token=TOKEN
    ) as registrations:
        registrations.look()
        assert not registrations.has("cart-1")
        assert at(asia) == []
