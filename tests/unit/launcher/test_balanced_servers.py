"""What balancers are told: the containers of their region, or else those that are nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from microservo.application.balancer import BalancerApi
from microservo.domain.balancing.documents import BalancedServerDocument, ServersDocument
from microservo.domain.geography import Coordinates
from microservo.errors import Retryable
from microservo.platforms.local.launched import Serving, TakingCalls
from services.launcher import balanced_servers
from services.launcher.balanced_servers import BalancedServers, servers_of

BERLIN, TOKYO, DARWIN = Coordinates(52.5, 13.4), Coordinates(35.7, 139.7), Coordinates(-12.5, 130.8)
ASIA = Serving(id="balancer-1", kind="load-balancer", url="http://127.0.0.1:1906", place=TOKYO, region="Asia")


def container(name: str, port: int, place: Coordinates, region: str) -> TakingCalls:
    service = name.partition("-")[0]
    return TakingCalls(
        id=name, service=service, url=f"http://127.0.0.1:{port}", pid=1, place=place, region=region
    )


BERLINS, TOKYOS, DARWINS = (
    container("cart-1", 1, BERLIN, "Europe"),
    container("cart-2", 2, TOKYO, "Asia"),
    container("cart-3", 3, DARWIN, "Oceania"),
)


class FakeBalancer(BalancerApi):
    """Keeps what it is told, in order; answers the first `failures` changes too late."""

    known: dict[str, set[str]]
    changes: list[str]
    failures: int

    def __init__(self, url: str, token: str = "", *, timeout_s: float = 1.0) -> None:
        super().__init__(url, token, timeout_s=timeout_s)

    def services(self) -> Mapping[str, Sequence[BalancedServerDocument]]:
        return {
            name: [BalancedServerDocument(server=each, state="up") for each in sorted(servers)]
            for name, servers in self.known.items()
        }

    def add(self, service: str, servers: ServersDocument) -> Sequence[BalancedServerDocument]:
        self.known.setdefault(service, set()).update(each.server for each in servers.root)
        self._change(f"+{service} {' '.join(each.server for each in servers.root)}")
        return []

    def remove(self, service: str, server: str) -> bool:
        self.known[service].remove(server)
        self._change(f"-{service} {server}")
        return True

    def _change(self, change: str) -> None:
        self.changes.append(change)
        if FakeBalancer.failures:
            FakeBalancer.failures -= 1
            msg = "nginx does not serve it in time"
            raise Retryable(msg)


@pytest.fixture
def balancer(monkeypatch: pytest.MonkeyPatch) -> type[FakeBalancer]:
    monkeypatch.setattr(FakeBalancer, "known", {}, raising=False)
    monkeypatch.setattr(FakeBalancer, "changes", [], raising=False)
    monkeypatch.setattr(FakeBalancer, "failures", 0, raising=False)
    monkeypatch.setattr(balanced_servers, "BalancerApi", FakeBalancer)
    return FakeBalancer


def test_of_each_service_the_region_has_its_own_or_else_those_of_the_nearest_region() -> None:
    assert servers_of(ASIA, [BERLINS, TOKYOS, DARWINS]) == {"cart": [TOKYOS]}
    assert servers_of(ASIA, [BERLINS, DARWINS]) == {"cart": [DARWINS]}
    more = replace(BERLINS, id="cart-4", url="http://127.0.0.1:4")
    assert servers_of(ASIA, [BERLINS, more]) == {"cart": [BERLINS, more]}
    assert servers_of(ASIA, []) == {}


def test_a_service_that_moves_has_servers_all_the_time(balancer: type[FakeBalancer]) -> None:
    containers = [TOKYOS]
    told = BalancedServers(lambda: containers, lambda: [ASIA], token="secret")
    told.look()
    told.look()
    assert balancer.changes == ["+cart 127.0.0.1:2"]
    assert told.has("cart-2")
    containers[:] = [replace(TOKYOS, id="cart-5", url="http://127.0.0.1:5")]
    told.look()
    assert balancer.changes[1:] == ["+cart 127.0.0.1:5", "-cart 127.0.0.1:2"]
    assert (told.has("cart-2"), told.has("cart-5")) == (False, True)
    told.close()


def test_one_that_begins_anew_gets_its_servers_again(balancer: type[FakeBalancer]) -> None:
    balancers = [ASIA]
    told = BalancedServers(lambda: [TOKYOS], lambda: balancers, token="secret")
    told.look()
    balancer.known.clear()
    balancers[:] = [replace(ASIA, id="balancer-2", url="http://127.0.0.1:1907")]
    told.look()
    assert balancer.known == {"cart": {"127.0.0.1:2"}}
    balancers.clear()
    told.look()
    assert not told.has("cart-2")
    told.close()


def test_after_a_change_that_was_not_served_in_time_it_is_asked_what_it_has(
    balancer: type[FakeBalancer], caplog: pytest.LogCaptureFixture
) -> None:
    containers = [TOKYOS]
    balancer.failures = 1
    told = BalancedServers(lambda: containers, lambda: [ASIA], token="secret")
    told.look()
    assert "balancer-1 is not up to date: nginx does not serve it in time" in caplog.text
    containers.clear()
    told.look()
    assert balancer.known == {"cart": set()}
    told.close()
