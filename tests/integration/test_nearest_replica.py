"""Users and services are answered by the nearest instance, and by another one while that is silent."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from machine import TIMEOUT_S, launcher_of

from microservo.domain.geography import Coordinates
from microservo.errors import Retryable
from microservo.platforms.driver import ContainerSeen
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.remote_driver import RemoteDriver
from microservo.platforms.local.request_headers import PLACES
from microservo.platforms.local.state import LocalInstance, read_state
from microservo.runtime.probe import counted
from microservo.testing import eventually
from microservo.testing.drivers import container_plan, host_plan

pytestmark = pytest.mark.integration

BERLIN, TOKYO = Coordinates(52.5, 13.4), Coordinates(35.7, 139.7)
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front]
type = "frontend"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 2000 }]
[services.back.endpoints.Work]
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""
ENOUGH = 30
OPTIONS = ("--journeys-per-s", "10", "--users-at", f"{BERLIN.latitude},{BERLIN.longitude}")


class World:
    """Two hosts in two regions, each with a front and a back, and users at both places.

    Args:
        driver: of the launcher.
        state_file: what it says of its containers.
    """

    def __init__(self, driver: RemoteDriver, state_file: Path) -> None:
        self.driver = driver
        self._state_file = state_file
        self.hosts = {place: self._host(place) for place in (BERLIN, TOKYO)}
        self.containers = {
            (service, place): self._launched(service, self.hosts[place])
            for service in ("back", "front")
            for place in self.hosts
        }
        eventually(self._move_users, timeout_s=TIMEOUT_S, what="the process of the users answering")

    def _move_users(self) -> bool:
        with contextlib.suppress(Retryable):
            LocalPlatform(self._state_file).move_users({BERLIN: 1.0, TOKYO: 1.0})
            return True
        return False

    def _host(self, place: Coordinates) -> str:
        plan = replace(host_plan(), coordinates=place, region="")
        self.driver.start_host(plan)
        eventually(
            lambda: any(each.name == plan.name and each.up for each in self.driver.hosts()),
            timeout_s=TIMEOUT_S,
            what="the host being up",
        )
        return plan.name

    def _launched(self, service: str, host: str) -> ContainerSeen:
        plan = container_plan(service, host)
        self.driver.launch(plan)

        def ready() -> ContainerSeen | None:
            return next(
                (each for each in self.driver.containers() if each.id == plan.id and each.ready), None
            )

        found = eventually(ready, timeout_s=TIMEOUT_S, what=f"{service} being ready")
        assert found is not None
        return found

    def instance(self, service: str, place: Coordinates) -> LocalInstance:
        found = read_state(self._state_file).instance(self.containers[service, place].id)
        assert found is not None
        return found

    def requests(self, service: str, at: Coordinates, of: Coordinates) -> int:
        """How many requests of a place the container of a service at another one was sent."""
        url = self.instance(service, at).sidecar_url
        labels = ("latitude", "longitude")
        return counted(url, PLACES, labels)[str(of.latitude), str(of.longitude)]

    def wait_for(self, service: str, at: Coordinates, of: Coordinates, more: int = ENOUGH) -> None:
        """Waits until so many more requests of a place have come to the container at another one."""
        before = self.requests(service, at, of)
        eventually(
            lambda: self.requests(service, at, of) >= before + more,
            timeout_s=TIMEOUT_S,
            what=f"requests to {service} at {at} from {of}",
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with launcher_of(tmp_path, TOPOLOGY, options=OPTIONS) as launcher:
        yield World(launcher.driver("manager"), launcher.folder / "target.json")


def growth(count: Callable[[], int], act: Callable[[], None]) -> int:
    """By how much a count grows while something is done."""
    before = count()
    act()
    return count() - before


@pytest.mark.parametrize("service", ["front", "back"])
def test_the_users_of_a_region_are_answered_by_what_is_there(world: World, service: str) -> None:
    for here, there in ((BERLIN, TOKYO), (TOKYO, BERLIN)):
        # From the first request of a place to its own container on, callers know of it.
        world.wait_for(service, at=here, of=here, more=1)
        foreign = growth(
            lambda here=here, there=there: world.requests(service, at=there, of=here),  # type: ignore[misc]
            lambda here=here: world.wait_for(service, at=here, of=here),  # type: ignore[misc]
        )
        # In turn it would be half of them; a machine that stands still for seconds may send some.
        assert foreign <= ENOUGH // 10


def test_where_the_nearest_is_gone_or_silent_another_region_answers_until_it_is_back(world: World) -> None:
    world.wait_for("back", at=TOKYO, of=TOKYO, more=1)
    pid = world.instance("back", TOKYO).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        world.wait_for("back", at=BERLIN, of=TOKYO)
    finally:
        os.kill(pid, signal.SIGCONT)
    world.wait_for("back", at=TOKYO, of=TOKYO)

    world.driver.stop(world.containers["front", TOKYO].id, 5.0)
    world.wait_for("front", at=BERLIN, of=TOKYO)
    # What the users are far from is near its own services.
    world.wait_for("back", at=BERLIN, of=BERLIN)
