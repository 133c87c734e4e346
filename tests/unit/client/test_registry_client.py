from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from registry_server import TOKEN, S, Served, serving

from microservo import RegistryClient
from microservo.domain.geography import Coordinates
from microservo.domain.registry.documents import LocationsQuestion
from microservo.domain.registry.instances import Condition
from microservo.errors import InvalidInput, Retryable
from microservo.testing import ManualClock, eventually

TOKYO = Coordinates(35.68, 139.69)
CART = ("cart", "http://127.0.0.1:9000")


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0)


@pytest.fixture
def client(served: Served, clock: ManualClock) -> Iterator[RegistryClient]:
    with RegistryClient(
        served.url, token=TOKEN, monotonic_s=lambda: clock() / S, heartbeat_s=0.05, report_s=0.05
    ) as found:
        yield found


def requests_from(served: Served) -> dict[str, int]:
    answer = served.registry.locations(LocationsQuestion(aggregation=True))
    return {
        service: sum(each.count for each in places) for service, places in (answer.services or {}).items()
    }


def test_an_instance_is_there_for_as_long_as_its_block_lasts(client: RegistryClient) -> None:
    with client.register(*CART, instance="cart-1", place=TOKYO, metadata={"version": "2"}) as registered:
        assert registered.instance_id == "cart-1"
        found = client.endpoint("cart", place=TOKYO)
        assert found is not None
        assert (found.endpoint, found.region, found.metadata) == (CART[1], "Asia", {"version": "2"})
    assert client.endpoints("cart") == ()


def test_heartbeats_keep_an_instance_and_say_how_it_is(served: Served, client: RegistryClient) -> None:
    with client.register(*CART, load=0.1) as registered:
        for load in (0.3, 0.5, 0.7, 0.9):
            served.clock.advance(3 * S)
            registered.update(load=load)
            eventually(lambda: client.endpoints("cart")[0].load == load, timeout_s=30, what="a heartbeat")  # noqa: B023
            assert served.registry.advance() == []
        registered.update(draining=True)
        eventually(lambda: client.endpoints("cart")[0].state == "draining", timeout_s=30, what="the drain")


def test_an_instance_that_the_registry_has_forgotten_is_registered_again(
    served: Served, client: RegistryClient
) -> None:
    with client.register(*CART, instance="cart-1") as registered:
        registered.update(load=0.5)
        served.registry.remove("cart", "cart-1")
        eventually(lambda: client.endpoints("cart"), timeout_s=30, what="the instance")
        eventually(lambda: client.endpoints("cart")[0].load == 0.5, timeout_s=30, what="its load")


def test_the_same_answer_is_used_for_ten_seconds_and_each_use_counts_as_a_request(
    served: Served, client: RegistryClient, clock: ManualClock
) -> None:
    with client.register(*CART, instance="cart-1"):
        for _ in range(5):
            assert client.endpoint("cart", place=TOKYO)
        eventually(lambda: requests_from(served) == {"cart": 5}, timeout_s=30, what="five requests")
        served.registry.change("cart", "cart-1", Condition(draining=True))
        assert client.endpoint("cart", place=TOKYO), "it is not ten seconds old"
        clock.advance(10 * S)
        assert client.endpoint("cart", place=TOKYO) is None


def test_while_the_registry_is_away_the_last_answer_counts(clock: ManualClock) -> None:
    with ExitStack() as stack:
        stop = ExitStack()
        served = stop.enter_context(serving())
        client = stack.enter_context(
            RegistryClient(served.url, token=TOKEN, monotonic_s=lambda: clock() / S, timeout_s=1)
        )
        registered = stack.enter_context(client.register(*CART))
        assert client.endpoint("cart")
        stop.close()
        clock.advance(3600 * S)
        found = client.endpoint("cart")
        assert found is not None
        assert found.instance_id == registered.instance_id
        with pytest.raises(Retryable, match=r"the registry http://127\.0\.0\.1:\d+ does not answer"):
            client.endpoint("never-asked")


def test_where_a_registry_is_away_the_next_one_is_asked_and_gets_the_instances(served: Served) -> None:
    with ExitStack() as stack:
        stop = ExitStack()
        first = stop.enter_context(serving("asia"))
        client = stack.enter_context(
            RegistryClient(first.url, served.url, token=TOKEN, heartbeat_s=0.05, timeout_s=1)
        )
        stack.enter_context(client.register(*CART))
        assert served.registry.services() == {"registry": 1}
        stop.close()
        eventually(lambda: "cart" in served.registry.services(), timeout_s=30, what="the instance")
        found = client.endpoint("cart")
        assert found is not None
        assert found.registry == "europe"


def test_an_answer_that_has_proved_wrong_is_forgotten(served: Served, client: RegistryClient) -> None:
    with client.register(*CART, instance="cart-1"):
        assert client.endpoint("cart")
        served.registry.change("cart", "cart-1", Condition(healthy=False))
        assert client.endpoint("cart"), "it is remembered"
        client.forget("cart")
        assert client.endpoint("cart") is None


def test_reports_of_users_are_counted_at_their_places(served: Served, client: RegistryClient) -> None:
    client.report("front", TOKYO, 41)
    client.report("front", TOKYO)
    eventually(lambda: requests_from(served) == {"front": 42}, timeout_s=30, what="the report")


def test_what_the_registry_would_refuse_is_refused_here(client: RegistryClient) -> None:
    with pytest.raises(InvalidInput, match="service: "):
        client.report("a b")
    with pytest.raises(InvalidInput, match="among: expected greater than or equal to 1, got 0"):
        client.endpoint("cart", among=0)
    with pytest.raises(InvalidInput, match="health_url 'http://elsewhere/': expected http:// at the host"):
        client.register(*CART, health_url="http://elsewhere/")


def test_a_wrong_token_is_refused_with_the_reason(served: Served) -> None:
    with RegistryClient(served.url, token="wrong") as client, pytest.raises(InvalidInput, match="token"):
        client.endpoint("cart")
