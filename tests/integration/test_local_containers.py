"""Containers of this machine come, move and end while users ask, and faults find the one that moved."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from asking_users import USERS, use

from microservo.domain.faults.base import Wire
from microservo.domain.geography import Coordinates, travel_time_s
from microservo.errors import Unavailable
from microservo.platforms.driver import ContainerPlan, ContainerSeen, TaggedDriver
from microservo.platforms.local.containers import LocalContainers
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.state import read_state
from microservo.platforms.local.token import new_token
from microservo.platforms.local.topology_files import read_topology
from microservo.runtime.probe import sample
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually
from microservo.testing.drivers import container_plan, host_plan

pytestmark = pytest.mark.integration

TIMEOUT_S = 120.0
MOVES = 2
BERLIN, SYDNEY = Coordinates(52.5, 13.4), Coordinates(-33.9, 151.2)
# No retries, so that each lost call is a failed request; and each takes a while, so that some are in flight.
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 60000 }]
[services.back.endpoints.Work]
cpu_ms = 1.0
noise = { slow_share = 0.5, slow_ms = 50.0 }
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""


@pytest.fixture
def topology() -> str:
    return TOPOLOGY


@pytest.fixture
def place(tmp_path: Path, topology: str) -> LocalPlace:
    path = tmp_path / "pair.toml"
    path.write_text(topology)
    return LocalPlace(
        topology=read_topology(str(path)),
        topology_path=path,
        folder=tmp_path,
        otlp_url="http://127.0.0.1:1",
        control_token=new_token(),
        start_s=0.2,
    )


@pytest.fixture
def driver(place: LocalPlace) -> Iterator[TaggedDriver]:
    with Supervisor() as supervisor:
        containers = LocalContainers(supervisor, place)
        yield TaggedDriver(containers, managed_by="manager")
        containers.close()


def start_host(driver: TaggedDriver, coordinates: Coordinates = BERLIN) -> str:
    plan = replace(host_plan(), coordinates=coordinates)
    driver.start_host(plan)
    eventually(
        lambda: any(each.name == plan.name and each.up for each in driver.hosts()),
        timeout_s=TIMEOUT_S,
        what="the host being up",
    )
    return plan.name


def launch(driver: TaggedDriver, plan: ContainerPlan) -> ContainerSeen:
    driver.launch(plan)
    return seen(driver, plan.id, lambda each: each.ready)


def seen(driver: TaggedDriver, container_id: str, is_it: Callable[[ContainerSeen], bool]) -> ContainerSeen:
    def found() -> ContainerSeen | None:
        return next((each for each in driver.containers() if each.id == container_id and is_it(each)), None)

    container = eventually(found, timeout_s=TIMEOUT_S, what=f"{container_id} as it should be")
    assert container is not None
    return container


def wait_called(place: LocalPlace, container_id: str) -> None:
    instance = read_state(place.state_file).instance(container_id)
    assert instance is not None
    eventually(
        lambda: (sample(instance.sidecar_url, "sidecar_requests_active") or 0) > 0,
        timeout_s=TIMEOUT_S,
        what=f"calls of {container_id}",
    )


def test_a_move_from_host_to_host_under_load_loses_no_request(
    place: LocalPlace, driver: TaggedDriver
) -> None:
    hosts = [start_host(driver) for _ in range(2)]
    back = launch(driver, container_plan("back", hosts[0]))
    front = launch(driver, container_plan("front", hosts[0]))
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        load = pool.submit(asyncio.run, use(f"http://{front.address}", stop))
        try:
            for number in range(1, MOVES + 1):
                wait_called(place, back.id)
                moved = launch(driver, container_plan("back", hosts[number % 2]))
                assert driver.stop(back.id, TIMEOUT_S) == 0
                back = moved
            wait_called(place, back.id)
        finally:
            stop.set()
        statuses = load.result(TIMEOUT_S)
    assert set(statuses) == {200}, statuses
    assert statuses[200] > USERS


@pytest.mark.parametrize("topology", [TOPOLOGY.replace("slow_ms = 50.0", "slow_ms = 60000.0")])
def test_requests_that_get_no_answer_within_their_time_are_counted_as_lost(
    place: LocalPlace, driver: TaggedDriver
) -> None:
    """Half of them take a minute on the average, and all get a second."""
    back = launch(driver, container_plan("back", start_host(driver)))

    async def ask() -> list[int]:
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*(status(session) for _ in range(USERS * 3)))

    async def status(session: aiohttp.ClientSession) -> int:
        try:
            async with session.post(f"http://{back.address}/Work") as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientError:
            return 0

    with ThreadPoolExecutor(max_workers=1) as pool:
        asking = pool.submit(asyncio.run, ask())
        wait_called(place, back.id)
        lost = driver.stop(back.id, 1.0)
        failed = sum(each != 200 for each in asking.result(TIMEOUT_S))
    assert lost is not None
    assert 0 < failed <= lost


def test_a_killed_container_is_seen_with_the_signal_and_its_callers_are_sent_there_no_more(
    place: LocalPlace, driver: TaggedDriver
) -> None:
    host = start_host(driver)
    back = launch(driver, container_plan("back", host))
    instance = read_state(place.state_file).instance(back.id)
    assert instance is not None
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGKILL)
    ended = seen(driver, back.id, lambda each: each.exit_code is not None)
    assert (ended.exit_code, ended.ready) == (-signal.SIGKILL, False)
    eventually(lambda: back.address not in place.peers.read_text(), what="the address being gone")


def test_a_call_to_another_region_takes_as_long_as_light_there_and_back(driver: TaggedDriver) -> None:
    europe, australia = start_host(driver), start_host(driver, SYDNEY)
    front = launch(driver, container_plan("front", europe))
    near = launch(driver, container_plan("back", europe))
    near_s = shortest_s(f"http://{front.address}/Page")
    far = launch(driver, container_plan("back", australia))
    driver.stop(near.id, TIMEOUT_S)
    far_s = shortest_s(f"http://{front.address}/Page")
    there_and_back_s = 2 * travel_time_s(BERLIN, SYDNEY)
    assert there_and_back_s > 0.15
    assert far_s >= there_and_back_s
    assert near_s < there_and_back_s
    # Who is beside the container, and so names no place, waits for nothing.
    assert shortest_s(f"http://{far.address}/Work") < there_and_back_s


def shortest_s(url: str) -> float:
    """The shortest time of several answers; they may wait for the processor, but never arrive too early."""

    def once() -> float:
        began_s = time.monotonic()
        assert asyncio.run(status_of(url)) == 200
        return time.monotonic() - began_s

    return min(once() for _ in range(20))


def test_a_fault_finds_the_container_where_it_has_moved_to_and_acts_there(
    place: LocalPlace, driver: TaggedDriver
) -> None:
    platform = LocalPlatform(place.state_file)
    hosts = [start_host(driver) for _ in range(2)]
    before = launch(driver, container_plan("back", hosts[0]))
    after = launch(driver, container_plan("back", hosts[1]))
    driver.stop(before.id, TIMEOUT_S)
    [found] = platform.instances()
    assert (found.id, found.service, found.is_up) == (after.id, "back", True)
    [mechanism] = platform.mechanisms("http-abort")
    wire: Wire = ("http-abort", {"status": 503, "ratio": 1.0, "endpoint": ""})
    mechanism.apply(after.id, "fault-1", wire)
    assert mechanism.holds(after.id, "fault-1", wire)
    assert asyncio.run(status_of(f"http://{after.address}/Work")) == 503
    mechanism.recover(after.id, "fault-1", wire)
    assert asyncio.run(status_of(f"http://{after.address}/Work")) == 200


async def status_of(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url) as answer:
        return answer.status


def test_a_host_without_memory_left_refuses_a_container_until_another_has_gone(driver: TaggedDriver) -> None:
    plan = replace(host_plan(), memory_bytes=100 * 2**20)
    driver.start_host(plan)
    eventually(lambda: any(each.up for each in driver.hosts()), timeout_s=TIMEOUT_S, what="the host being up")
    first, second = container_plan("back", plan.name), container_plan("back", plan.name)
    driver.launch(first)
    with pytest.raises(Unavailable, match="take another host"):
        driver.launch(second)
    driver.stop(first.id, 0.0)
    assert driver.launch(second).exit_code is None


@pytest.mark.parametrize(("url", "mechanisms"), [("", []), ("http://127.0.0.1:1", ["collector"])])
def test_faults_on_telemetry_are_to_be_had_where_a_collector_is_named(
    url: str, mechanisms: list[str], place: LocalPlace
) -> None:
    with Supervisor() as supervisor:
        containers = LocalContainers(supervisor, replace(place, collector_url=url))
        platform = LocalPlatform(place.state_file)
        assert [each.name for each in platform.mechanisms("telemetry-drop")] == mechanisms
        containers.close()
