"""Registries as threads on a broker in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from registrations import registration

from microservo.adapters.memory import MemoryBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.registry_api import RegistryApi
from microservo.domain.geography import Coordinates
from microservo.domain.registry.documents import ConditionDocument, EndpointQuestion, RegistrationDocument
from microservo.errors import InvalidInput, Retryable
from microservo.log.reader import read_state, read_topic
from microservo.log.topics import topic_specs
from microservo.runtime.shutdown import Shutdown
from microservo.testing import eventually
from schemas.catalogue import REGISTRATIONS, REQUEST_LOCATIONS
from schemas.codec import decode_as, encode
from schemas.records import Registration, RequestLocations
from services.registry.service import run
from services.registry.settings import RegistrySettings

CART = RegistrationDocument(service="cart", instance="cart-1", endpoint="127.0.0.1:9000")


@pytest.fixture
def broker() -> MemoryBroker:
    found = MemoryBroker()
    found.admin().ensure_topics(topic_specs(partitions=2))
    return found


@contextmanager
def running(broker: MemoryBroker, name: str, *, lease_s: float = 3600) -> Iterator[RegistryApi]:
    """A registry that ends in order with the block."""
    (port,) = free_ports(1)
    settings = RegistrySettings(registry_name=name, registry_port=port, lease_s=lease_s)
    shutdown = Shutdown(signals=())
    thread = threading.Thread(target=run, args=(settings, shutdown), kwargs={"broker": broker})
    thread.start()
    api = RegistryApi(f"http://127.0.0.1:{port}", timeout_s=30)
    try:
        eventually(lambda: answers(api), timeout_s=30, what=f"the registry {name}")
        yield api
    finally:
        api.close()
        shutdown.request()
        thread.join(30)
        assert not thread.is_alive()


def answers(api: RegistryApi) -> bool:
    try:
        return api.age_s() >= 0
    except Retryable:
        return False


def names(api: RegistryApi) -> list[str]:
    return [each.instance_id for each in api.endpoints("cart", None)]


def test_what_is_registered_changed_and_removed_at_one_registry_is_so_at_the_other(
    broker: MemoryBroker,
) -> None:
    with running(broker, "europe") as europe, running(broker, "asia") as asia:
        europe.register(CART)
        eventually(lambda: names(asia) == ["cart-1"], what="the instance")
        europe.change("cart", "cart-1", ConditionDocument(draining=True))
        eventually(lambda: asia.endpoints("cart", None)[0].state == "draining", what="the drain")
        with pytest.raises(InvalidInput, match=r"keeps in touch with the registry 'europe', at http://127"):
            asia.deregister("cart", "cart-1")
        europe.deregister("cart", "cart-1")
        eventually(lambda: names(asia) == [], what="the end")
    assert read_state(broker, REGISTRATIONS, Registration) == {}, "registries that end in order say so"


def test_silence_ends_an_instance_for_all(broker: MemoryBroker) -> None:
    with running(broker, "europe", lease_s=0.5) as europe, running(broker, "asia") as asia:
        asia.register(CART.model_copy(update={"instance": "lasting"}))
        europe.register(CART)
        eventually(lambda: names(asia) == ["cart-1", "lasting"], what="both")
        eventually(lambda: names(asia) == ["lasting"], what="the end")
        eventually(lambda: names(europe) == ["lasting"], what="the end")


def test_a_message_that_can_not_be_read_is_passed_over(broker: MemoryBroker) -> None:
    with broker.producer() as producer:
        producer.send(REGISTRATIONS, key=b"cart/cart-0", value=b"?")
        record = registration("cart-1", registry="asia")
        producer.send(REGISTRATIONS, key=record.registration_id.encode(), value=encode(record))
        producer.flush(1)
        with running(broker, "europe") as europe:
            assert names(europe) == ["cart-1"]
            producer.send(REGISTRATIONS, key=b"cart/cart-0", value=b"?")
            producer.send(REGISTRATIONS, key=record.registration_id.encode(), value=None)
            producer.flush(1)
            eventually(lambda: names(europe) == [], what="the tombstone behind it")


def test_asking_is_on_the_topic_with_all_places_of_a_service_in_one_message(broker: MemoryBroker) -> None:
    with running(broker, "europe") as europe:
        for number in range(20):
            europe.endpoint("cart", EndpointQuestion(), Coordinates(number % 2, 0))

        def counted() -> int:
            found = [
                decode_as(RequestLocations, each.value or b"")
                for each in read_topic(broker, REQUEST_LOCATIONS)
            ]
            return sum(sum(each.counts) for each in found)

        eventually(lambda: counted() == 20, what="twenty requests")
        assert len(list(read_topic(broker, REQUEST_LOCATIONS))) < 20
