from __future__ import annotations

import threading
from pathlib import Path

import pytest

from microservo.domain.balancing.documents import MOST_SERVERS, ServerDocument
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.testing import eventually
from services.balancer.balancer import Balancer, NoSuchServer, Watched

ONE, OTHER = ServerDocument(server="127.0.0.1:1"), ServerDocument(server="127.0.0.1:2", health_path="/h")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.balancer.balancer.SERVED_WITHIN_S", 0.01)


def new(state: Path) -> Balancer:
    return Balancer(state, own_address="127.0.0.1:8080", version="1.22.1")


def put(balancer: Balancer, service: str, *servers: ServerDocument) -> None:
    """As nothing serves here, the wait for that ends in vain."""
    with pytest.raises(Retryable, match="nginx has not started yet"):
        balancer.put(service, servers)


def test_servers_are_kept_in_a_file(state: Path) -> None:
    balancer = new(state)
    put(balancer, "cart", ONE, OTHER)
    put(balancer, "front", ONE)
    again = new(state)
    assert again.services() == balancer.services()
    assert [each.server for each in again.servers("cart")] == ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.mark.parametrize("text", ["", "{", '{"a;b": []}', '{"cart": [{"server": "cart:80"}]}', "[1]"])
def test_a_file_that_can_not_be_used_is_said_with_the_way_out(state: Path, text: str) -> None:
    state.write_text(text)
    with pytest.raises(Unavailable, match="mend it, or delete it"):
        new(state)


def test_a_file_that_can_not_be_written_changes_nothing(state: Path) -> None:
    balancer = new(state)
    state.mkdir()
    with pytest.raises(Retryable, match="nothing was changed"):
        balancer.put("cart", [ONE])
    assert balancer.services() == {}
    assert balancer.wanted().services == {}


def test_an_answer_comes_when_what_was_asked_for_is_served(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.balancer.balancer.SERVED_WITHIN_S", 30)
    balancer = new(state)
    balancer.tell_served(balancer.wanted().generation)
    done = threading.Event()

    def put_one() -> None:
        balancer.put("cart", [ONE])
        done.set()

    thread = threading.Thread(target=put_one)
    thread.start()
    eventually(lambda: balancer.is_behind, what="the change")
    wanted = balancer.wanted()
    balancer.tell_served(wanted.generation - 1)
    assert not done.is_set()
    balancer.tell_served(wanted.generation)
    assert done.wait(30)
    thread.join()


def test_health_is_a_new_generation_only_where_it_changes(state: Path) -> None:
    balancer = new(state)
    put(balancer, "cart", ONE, OTHER)
    one = Watched(service="cart", address=ONE.server, health_path=None)
    generation = balancer.wanted().generation
    balancer.judge(one, is_up=True)
    assert balancer.wanted().generation == generation
    balancer.judge(one, is_up=False)
    balancer.judge(one, is_up=False)
    assert balancer.wanted().generation == generation + 1
    assert [each.is_up for each in balancer.wanted().services["cart"]] == [False, True]
    assert [each.state for each in balancer.servers("cart")] == ["down", "up"]
    balancer.judge(Watched(service="gone", address=ONE.server, health_path=None), is_up=False)
    assert balancer.wanted().generation == generation + 1


def test_what_is_known_already_is_no_new_generation(state: Path) -> None:
    balancer = new(state)
    put(balancer, "cart", ONE, OTHER)
    balancer.judge(Watched(service="cart", address=ONE.server, health_path=None), is_up=False)
    generation = balancer.wanted().generation
    put(balancer, "cart", OTHER)
    put(balancer, "cart", ONE)
    assert balancer.wanted().generation == generation
    assert [each.state for each in balancer.servers("cart")] == ["down", "up"]
    put(balancer, "cart", ONE.model_copy(update={"region": "Africa"}))
    assert balancer.wanted().generation == generation + 1


def test_the_last_server_takes_its_service_along(state: Path) -> None:
    balancer = new(state)
    put(balancer, "cart", ONE)
    with pytest.raises(NoSuchServer, match=r"127.0.0.1:2 is no server of 'cart'; it has 127.0.0.1:1"):
        balancer.remove("cart", "127.0.0.1:2")
    with pytest.raises(Retryable):
        balancer.remove("cart", "127.0.0.1:1")
    with pytest.raises(NoSuchServer, match="'cart' has no servers here"):
        balancer.servers("cart")


def test_there_is_an_end_to_servers_and_services(state: Path) -> None:
    balancer = new(state)
    many = [ServerDocument(server=f"127.0.0.1:{port}") for port in range(1, MOST_SERVERS + 1)]
    put(balancer, "cart", *many)
    with pytest.raises(InvalidInput, match="remove some"):
        balancer.put("front", [ONE])
    assert set(balancer.services()) == {"cart"}
