"""An app on hosts, asked of a manager: also of one that is busy, and of the next one with the same log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from managers import Fleet, fleet

from microservo.client import Client
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import TaggedDriver
from microservo.system import app_placing
from microservo.system.app_placing import AppPlacing
from microservo.system.hosts import HostOptions
from microservo.testing import MemoryBroker, eventually
from microservo.testing.memory_driver import MemoryInfrastructure

PATIENT_S, OUT_OF_TIME_S = 60.0, -1.0
BERLIN = HostOptions(name="berlin", latitude=52.5, longitude=13.4)
TOKYO = HostOptions(name="tokyo", latitude=35.7, longitude=139.7)
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work" }]
[services.back.endpoints.Work]
cpu_ms = 1.0
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""


class Busy:
    """Answers by raising these in turn, then with nothing."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture(autouse=True)
def _ask_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_placing, "_ASK_S", 0.01)


@pytest.fixture
def world() -> Iterator[Fleet]:
    with fleet(MemoryBroker()) as found:
        yield found


@pytest.fixture
def topology(tmp_path: Path) -> str:
    file = tmp_path / "pair.toml"
    file.write_text(TOPOLOGY)
    return str(file)


def placed(world: Fleet, topology: str, *hosts: HostOptions) -> None:
    """Has hosts join, and the app run near the first one."""
    steps = AppPlacing(world.client, world.driver, PATIENT_S)
    steps.join_hosts(hosts)
    steps.run_app(topology, near=hosts[0].coordinates)


def running(world: Fleet) -> list[tuple[str, str]]:
    return sorted((each.service, each.host) for each in world.driver.containers() if each.exit_code is None)


def placing(timeout_s: float, report: list[str] | None = None) -> AppPlacing:
    said = [] if report is None else report
    driver = TaggedDriver(MemoryInfrastructure(()), managed_by="managers")
    return AppPlacing(Client(broker=MemoryBroker()), driver, timeout_s, report=said.append)


def test_what_is_refused_after_it_was_not_answered_is_looked_at_once_more() -> None:
    step, said = Busy(Unavailable("no manager answered"), InvalidInput("it exists")), list[str]()
    placing(PATIENT_S, said).ask(step)
    assert step.calls == 3
    assert said == ["no manager answered", "it exists"]


@pytest.mark.parametrize("before", [[], [Unavailable("no manager answered"), InvalidInput("it exists")]])
def test_what_is_refused_is_said(before: list[Exception]) -> None:
    with pytest.raises(InvalidInput, match="there is no room"):
        placing(PATIENT_S).ask(Busy(*before, InvalidInput("there is no room")))


def test_who_never_answers_is_given_up() -> None:
    with pytest.raises(Unavailable, match="no manager answered"):
        placing(OUT_OF_TIME_S).ask(Busy(Unavailable("no manager answered")))


def test_an_app_runs_once_near_the_first_host_however_often_that_is_asked(
    world: Fleet, topology: str
) -> None:
    world.manager()
    for _ in range(2):
        placed(world, topology, BERLIN, TOKYO)
        assert running(world) == [("back", "berlin"), ("front", "berlin")]
    assert world.ready() == {"berlin", "tokyo"}


def test_the_manager_is_told_what_a_host_is_like_by_now(world: Fleet, topology: str) -> None:
    world.manager()
    placed(world, topology, BERLIN)
    AppPlacing(world.client, world.driver, PATIENT_S).join_hosts([BERLIN.model_copy(update={"cores": 8.0})])
    assert world.client.manager.show("host/berlin").values["cores"] == 8.0


def test_what_a_worker_owned_is_the_masters_and_runs_again_at_the_next_start(
    world: Fleet, topology: str
) -> None:
    master = world.manager()
    world.client.manager.create("worker/worker-asia", region="Asia")
    placed(world, topology, TOKYO)
    worker = world.manager("worker-asia")
    world.client.manager.assign("tokyo", "worker-asia")
    eventually(
        lambda: {each.owner for each in world.client.manager.list("container")} == {"worker-asia"},
        timeout_s=PATIENT_S,
        what="the worker owning the containers",
    )
    worker.kill()
    master.kill()
    # As a launcher that is started anew.
    world.infrastructure.stop_host("tokyo")

    world.manager()
    placed(world, topology, TOKYO)
    assert running(world) == [("back", "tokyo"), ("front", "tokyo")]
    assert {each.owner for each in world.client.manager.list("container")} == {"master"}
