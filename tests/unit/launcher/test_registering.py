"""Containers at a registry that answers: there while they take calls, and no longer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from registry_server import TOKEN, serving

from microservo import RegistryClient
from microservo.adapters.ports import free_ports
from microservo.domain.geography import Coordinates
from microservo.errors import Retryable
from services.launcher.registering import Registrations, TakingCalls

TOKYO = Coordinates(35.7, 139.7)


def container(service: str = "cart", port: int = 9000) -> TakingCalls:
    url = f"http://127.0.0.1:{port}"
    return TakingCalls(service=service, endpoint=url, pid=os.getpid(), place=TOKYO, region="Asia")


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with serving() as served, RegistryClient(served.url, token=TOKEN) as found:
        yield found


def test_a_container_is_registered_with_its_place_as_long_as_it_takes_calls(client: RegistryClient) -> None:
    found = {"cart-1": container(), "cart-2": container(port=9001)}
    registrations = Registrations(lambda: found, client)
    registrations.look()
    registered = {each.instance_id: each for each in client.endpoints("cart")}
    assert registered.keys() == {"cart-1", "cart-2"}
    first = registered["cart-1"]
    assert (first.endpoint, first.region) == ("http://127.0.0.1:9000", "Asia")
    assert (first.latitude, first.longitude) == (TOKYO.latitude, TOKYO.longitude)
    del found["cart-1"]
    registrations.look()
    assert [each.instance_id for each in client.endpoints("cart")] == ["cart-2"]
    registrations.close()
    assert not client.endpoints("cart")


def test_while_no_registry_answers_it_is_tried_again() -> None:
    [port] = free_ports(1)
    with RegistryClient(f"http://127.0.0.1:{port}", token=TOKEN) as client:
        registrations = Registrations(lambda: {"cart-1": container()}, client)
        with pytest.raises(Retryable):
            registrations.look()
        with serving(port=port):
            registrations.look()
            assert [each.instance_id for each in client.endpoints("cart")] == ["cart-1"]
            registrations.close()
            assert not client.endpoints("cart")
