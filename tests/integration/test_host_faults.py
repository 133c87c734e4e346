"""A host that fails and a region that is cut off, as faults on containers that a launcher owns."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from machine import TIMEOUT_S, launcher_of

from microservo import Client
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.domain.faults.base import Wire
from microservo.domain.geography import Coordinates
from microservo.errors import Unavailable
from microservo.platforms.driver import ContainerSeen
from microservo.platforms.local.places import place_text
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.remote_driver import RemoteDriver
from microservo.platforms.local.request_headers import PLACE
from microservo.platforms.local.state import read_state
from microservo.runtime.probe import is_healthy, sample
from microservo.supervision.supervisor import ProcessSpec, Supervisor
from microservo.testing import eventually
from microservo.testing.drivers import container_plan, host_plan

pytestmark = pytest.mark.integration

BERLIN, MADRID, TOKYO = Coordinates(52.5, 13.4), Coordinates(40.4, -3.7), Coordinates(35.7, 139.7)
TOPOLOGY = 'name = "one"\nentry = "cart"\n[services.cart.endpoints.Get]\n'
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Land:
    """A launcher with hosts, and what it says of them.

    Args:
        folder: of the launcher.
        url: where it answers.
        token: that it asks for.
    """

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.state_file = folder / "target.json"
        self.driver = RemoteDriver(url, token, managed_by="manager")
        self.platform = LocalPlatform(self.state_file)

    def host(self, place: Coordinates) -> str:
        plan = replace(host_plan(), coordinates=place)
        self.driver.start_host(plan)
        eventually(lambda: self.is_up(plan.name), timeout_s=TIMEOUT_S, what="the host being up")
        return plan.name

    def is_up(self, host: str) -> bool:
        return any(each.name == host and each.up for each in self.driver.hosts())

    def cart(self, host: str) -> ContainerSeen:
        plan = container_plan("cart", host)
        self.driver.launch(plan)
        found = eventually(lambda: self.seen(plan.id), timeout_s=TIMEOUT_S, what="the container being ready")
        assert found is not None
        return found

    def seen(self, container_id: str) -> ContainerSeen | None:
        return next(
            (each for each in self.driver.containers() if each.id == container_id and each.ready), None
        )

    def pid(self, container: ContainerSeen) -> int:
        found = read_state(self.state_file).instance(container.id)
        assert found is not None
        assert found.pid is not None
        return found.pid


def ask(container: ContainerSeen, caller: Coordinates, timeout_s: float = TIMEOUT_S) -> int:
    """The status of a request from a place."""
    headers = {PLACE: place_text(caller)}
    request = urllib.request.Request(f"http://{container.address}/Get", method="POST", headers=headers)
    with OPENER.open(request, timeout=timeout_s) as answer:
        return int(answer.status)


def held(container: ContainerSeen, caller: Coordinates, pool: ThreadPoolExecutor, land: Land) -> Future[int]:
    """A request that has arrived at the sidecar, and is under way."""
    found = read_state(land.state_file).instance(container.id)
    assert found is not None
    asked = pool.submit(ask, container, caller)
    eventually(
        lambda: sample(found.sidecar_url, "sidecar_requests_active") == 1,
        timeout_s=TIMEOUT_S,
        what="the request having come",
    )
    return asked


@pytest.fixture
def land(tmp_path: Path) -> Iterator[Land]:
    with launcher_of(tmp_path, TOPOLOGY) as launcher:
        yield Land(launcher.folder, launcher.url, launcher.token)


def test_all_on_a_host_that_is_down_ends_and_nobody_reaches_it_until_it_is_mended(land: Land) -> None:
    failing, other = land.host(BERLIN), land.host(TOKYO)
    first, second, elsewhere = land.cart(failing), land.cart(failing), land.cart(other)
    processes = [psutil.Process(land.pid(each)) for each in (first, second)]
    [mechanism] = land.platform.mechanisms("host-down")
    applied = mechanism.apply(first.id, "f1", ("host-down", {}))
    assert "2 containers" in applied.evidence
    assert mechanism.apply(first.id, "f1", ("host-down", {})) == applied
    assert mechanism.holds(first.id, "f1", ("host-down", {}))
    _, alive = psutil.wait_procs(processes, timeout=TIMEOUT_S)
    assert alive == []
    assert not land.is_up(failing)
    assert [each.id for each in land.driver.containers()] == [elsewhere.id]
    with pytest.raises(Unavailable):
        land.driver.stop(first.id, 0.0)
    with pytest.raises(Unavailable):
        land.driver.stop_host(failing)
    with pytest.raises(Unavailable):
        land.driver.launch(container_plan("cart", failing))
    assert ask(elsewhere, BERLIN) == 200

    mechanism.recover(first.id, "f1", ("host-down", {}))
    eventually(lambda: land.is_up(failing), timeout_s=TIMEOUT_S, what="the host being up again")
    ended = {each.id: each.exit_code for each in land.driver.containers() if each.host == failing}
    assert ended == {first.id: -9, second.id: -9}
    land.driver.stop(first.id, 0.0)
    assert ask(land.cart(failing), BERLIN) == 200
    land.driver.stop_host(failing)
    assert {each.host for each in land.driver.containers()} == {other}


def test_nothing_passes_between_a_region_that_is_cut_off_and_the_rest_until_it_is_mended(land: Land) -> None:
    berlin, tokyo = land.cart(land.host(BERLIN)), land.cart(land.host(TOKYO))
    [mechanism] = land.platform.mechanisms("region-cut")
    wire: Wire = ("region-cut", {})
    assert "Asia is cut off at 2 sidecars" in mechanism.apply(tokyo.id, "f1", wire).evidence
    late = land.cart(land.host(TOKYO))
    with ThreadPoolExecutor(4) as pool:
        waiting = [
            held(tokyo, BERLIN, pool, land),
            held(berlin, TOKYO, pool, land),
            held(late, MADRID, pool, land),
        ]
        # On either side all goes on.
        assert (ask(berlin, MADRID), ask(tokyo, TOKYO), ask(late, TOKYO)) == (200, 200, 200)
        assert not any(each.done() for each in waiting)
        mechanism.recover(tokyo.id, "f1", wire)
        assert [each.result(TIMEOUT_S) for each in waiting] == [200, 200, 200]
    assert ask(tokyo, BERLIN) == 200
    assert not mechanism.holds(tokyo.id, "f1", wire)


def test_a_host_that_fails_is_labelled_as_any_fault_is(
    land: Land, kafka_broker: KafkaBroker, kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> None:
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    client.topics.ensure(partitions=2)
    failing = land.host(BERLIN)
    cart, [port] = land.cart(failing), free_ports(1)
    environment = {
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": topic_prefix,
        "MICROSERVO_RUN_ID": "run-1",
        "MICROSERVO_HEALTH_PORT": str(port),
        "MICROSERVO_TARGET_STATE": str(land.state_file),
    }
    with Supervisor() as supervisor:
        supervisor.start(
            ProcessSpec(
                name="injector",
                argv=python_argv("services.fault_injector"),
                env=environment,
                log=tmp_path / "injector.log",
                stop_timeout_s=TIMEOUT_S,
                ready=lambda: is_healthy(f"http://127.0.0.1:{port}"),
            )
        )
        supervisor.wait_ready(["injector"], TIMEOUT_S)
        fault_id = client.faults.request("host-down", service="cart", duration="2s")

        def states() -> dict[str, str]:
            return {each.fault_id: each.state for each in client.faults.list()}

        eventually(
            lambda: states().get(fault_id) in ("recovered", "stopped"),
            timeout_s=TIMEOUT_S,
            what="the fault being over",
        )
        [event] = [each for each in client.faults.list() if each.fault_id == fault_id]
    assert (event.instance, event.service) == (cart.id, "cart")
    assert event.applied_at_us is not None
    assert event.recovered_at_us is not None
    assert event.recovered_at_us - event.applied_at_us >= 2_000_000
    assert "1 containers" in (event.apply_evidence or "")
    eventually(lambda: land.is_up(failing), timeout_s=TIMEOUT_S, what="the host being up again")
    assert [each.exit_code for each in land.driver.containers()] == [-9]
