"""Actions through drivers that hang, answer late, or fail at first."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from managers import EUROPE, PLACES, TAG, Fleet, fleet

from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.entities import Container, Host
from microservo.errors import Retryable
from microservo.platforms.driver import ContainerPlan, ContainerSeen, TaggedDriver
from microservo.testing import MemoryBroker, eventually
from microservo.testing.memory_driver import MemoryInfrastructure
from services.manager import orphans
from services.manager.performing import Performer, Told, plan_of

SOON_S, NEVER_S = 0.3, 600.0


class HangingDriver(TaggedDriver):
    """One that does not answer some launches until it is let; it does what it was asked for then.

    Args:
        infrastructure: with the hosts and containers.
        hang: so many launches hang, the first ones; also all stops where it is none.
    """

    def __init__(self, infrastructure: MemoryInfrastructure, *, hang: int) -> None:
        super().__init__(infrastructure, managed_by=TAG)
        self._left = threading.Semaphore(hang)
        self.asked: list[str] = []
        self.let = threading.Event()
        self.stops_hang = False

    def launch(self, plan: ContainerPlan) -> ContainerSeen:
        self.asked.append(plan.id)
        if self._left.acquire(blocking=False):
            self.let.wait(120)
        return super().launch(plan)

    def stop(self, container_id: str, drain_s: float) -> None:
        if self.stops_hang:
            self.let.wait(120)
        super().stop(container_id, drain_s)


class FailingDriver(TaggedDriver):
    """One whose first launches fail for now."""

    def __init__(self, infrastructure: MemoryInfrastructure, *, fail: int) -> None:
        super().__init__(infrastructure, managed_by=TAG)
        self.left = fail

    def launch(self, plan: ContainerPlan) -> ContainerSeen:
        if self.left:
            self.left -= 1
            msg = "the launcher does not answer"
            raise Retryable(msg)
        return super().launch(plan)


def container(name: str) -> Container:
    return Container(name=name, service="front", host="berlin", latitude=52.5, longitude=13.4)


def infrastructure() -> MemoryInfrastructure:
    made = MemoryInfrastructure(("front", "back"))
    latitude, longitude = PLACES["berlin"]
    host = Host(
        name="berlin", place="edge", latitude=latitude, longitude=longitude, cores=4.0, memory_bytes=8e9
    )
    made.start_host(plan_of(host))
    return made


class Acting:
    """A performer and what it tells."""

    def __init__(self, performer: Performer, told: queue.SimpleQueue[Told]) -> None:
        self.performer = performer
        self._told = told

    def launch(self, name: str) -> None:
        self.performer.do(act.Launch(container=container(name)))

    def stop(self, name: str) -> None:
        self.performer.do(act.Stop(container=name, host="berlin"))

    def next(self) -> events.Event:
        return self._told.get(timeout=60)(7)

    def is_silent(self) -> bool:
        return self._told.empty()


@contextmanager
def acting(driver: TaggedDriver, *, launch_s: float = NEVER_S, stop_s: float = NEVER_S) -> Iterator[Acting]:
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()
    deadlines: Mapping[type[act.Done], float] = {act.Launch: launch_s, act.Stop: stop_s}
    with Performer(
        driver,
        told,
        host_of=lambda _: None,
        service_of=lambda _: None,
        known_of=lambda name: f"nothing is known of {name}",
        deadlines_s=deadlines,
        pause_s=0.001,
    ) as performer:
        yield Acting(performer, told)


def test_a_launch_that_hangs_has_failed_at_its_deadline_and_is_told_with_what_is_known_of_it() -> None:
    driver = HangingDriver(infrastructure(), hang=1)
    with acting(driver, launch_s=SOON_S) as its:
        its.launch("front-1")
        assert its.next() == events.LaunchFailed(
            now_us=7,
            container="front-1",
            reason="the launch of front-1 is not done after 0.3 s; attempt 1 has no answer yet; "
            "nothing is known of front-1",
        )
        assert its.performer.wait_idle(60)
        driver.let.set()
        eventually(driver.containers, timeout_s=60, what="the late launch")
        assert its.is_silent(), "who looks at containers finds it"


def test_a_stop_that_hangs_has_failed_at_its_deadline_too() -> None:
    driver = HangingDriver(infrastructure(), hang=0)
    driver.stops_hang = True
    with acting(driver, stop_s=SOON_S) as its:
        its.launch("front-1")
        its.stop("front-1")
        event = its.next()
        assert isinstance(event, events.StopFailed)
        assert event.reason.startswith("the stop of front-1 is not done after 0.3 s")
        driver.let.set()


def test_what_was_decided_next_about_the_same_container_waits_for_the_deadline_and_no_longer() -> None:
    driver = HangingDriver(infrastructure(), hang=1)
    with acting(driver, launch_s=SOON_S) as its:
        its.launch("front-1")
        its.stop("front-1")
        assert isinstance(its.next(), events.LaunchFailed)
        assert its.next() == events.ContainerStopped(now_us=7, container="front-1", requests_lost=None)
        driver.let.set()


def test_drivers_calls_that_hang_keep_nothing_else_waiting() -> None:
    driver = HangingDriver(infrastructure(), hang=20)
    with acting(driver, launch_s=SOON_S) as its:
        for number in range(21):
            its.launch(f"front-{number}")
        failed = {event.container for _ in range(20) if isinstance(event := its.next(), events.LaunchFailed)}
        assert len(failed) == 20
        eventually(lambda: len(driver.containers()) == 1, timeout_s=60, what="the last launch")
        driver.let.set()
        eventually(lambda: len(driver.containers()) == 21, timeout_s=60, what="the late ones")


def test_where_ever_so_many_calls_hang_the_rest_has_failed_too_and_is_said_not_to_have_begun() -> None:
    driver = HangingDriver(infrastructure(), hang=100)
    with acting(driver, launch_s=SOON_S) as its:
        for number in range(50):
            its.launch(f"front-{number}")
        reasons = [event.reason for _ in range(50) if isinstance(event := its.next(), events.LaunchFailed)]
        assert len(reasons) == 50
        not_begun = [reason for reason in reasons if "it was not begun" in reason]
        assert len(not_begun) == 50 - len(driver.asked)
        assert not_begun
        driver.let.set()
        eventually(lambda: len(driver.containers()) == len(driver.asked), timeout_s=60, what="the late ones")
        its.launch("front-again")
        eventually(
            lambda: "front-again" in {each.id for each in driver.containers()},
            timeout_s=60,
            what="a launch once the driver answers again",
        )


def test_a_launch_that_answers_late_but_in_time_is_no_failure() -> None:
    driver = HangingDriver(infrastructure(), hang=1)
    with acting(driver) as its:
        its.launch("front-1")
        eventually(lambda: driver.asked, timeout_s=60)
        assert not its.performer.wait_idle(0.05)
        driver.let.set()
        assert its.performer.wait_idle(60)
        assert its.is_silent()
        assert [each.id for each in driver.containers()] == ["front-1"]


def test_a_launch_that_fails_twice_and_then_succeeds_is_no_failure() -> None:
    driver = FailingDriver(infrastructure(), fail=2)
    with acting(driver) as its:
        its.launch("front-1")
        assert its.performer.wait_idle(60)
        assert its.is_silent()
        assert [each.id for each in driver.containers()] == ["front-1"]


def test_a_launch_that_fails_five_times_has_failed_with_the_drivers_reason() -> None:
    driver = FailingDriver(infrastructure(), fail=5)
    with acting(driver) as its:
        its.launch("front-1")
        assert its.next() == events.LaunchFailed(
            now_us=7, container="front-1", reason="the launcher does not answer"
        )


def test_every_kind_of_action_of_a_driver_has_a_deadline() -> None:
    assert set(act.DEADLINES_S) == set(act.Done.__args__)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(act.DEADLINES_S, act.Launch, 1.0)
    monkeypatch.setattr(orphans, "PATIENCE_US", 2_000_000)


@contextmanager
def managed_by_hanging_driver(*, hang: int) -> Iterator[tuple[Fleet, HangingDriver]]:
    driver = HangingDriver(MemoryInfrastructure(("front", "back")), hang=hang)
    with fleet(MemoryBroker(), driver=driver) as world:
        yield world, driver


@pytest.mark.usefixtures("impatient")
def test_a_service_runs_elsewhere_when_a_launch_hangs_and_the_late_container_is_stopped() -> None:
    with managed_by_hanging_driver(hang=1) as (world, driver):
        world.manager()
        world.add_hosts("berlin", "tokyo")
        world.add_service(minimum_replicas=1)
        eventually(lambda: list(world.states().values()) == ["running"], timeout_s=60, what="another one")
        (runs,) = world.running()
        late = next(name for name in driver.asked if name != runs)
        (failed,) = [each for each in world.client.manager.events() if "is not done after 1 s" in each.reason]
        assert "at the last look there was nothing of it" in failed.reason
        driver.let.set()
        eventually(lambda: late in world.running(), timeout_s=60, what="the late one")
        eventually(lambda: set(world.running()) == {runs}, timeout_s=60, what="it is stopped")
        assert world.states() == {runs: "running"}


@pytest.mark.usefixtures("impatient")
def test_a_container_that_was_given_up_and_starts_late_is_adopted() -> None:
    with managed_by_hanging_driver(hang=5) as (world, driver):
        world.manager()
        world.client.manager.create("settings/manager", most_launches=1)
        world.add_hosts("berlin")
        world.add_service()
        world.client.manager.launch("front", near=EUROPE)
        eventually(lambda: list(world.states().values()) == ["given_up"], timeout_s=60, what="it is given up")
        driver.let.set()
        eventually(lambda: list(world.states().values()) == ["running"], timeout_s=60, what="it is adopted")
        assert set(world.running()) == set(world.states())
        assert len(driver.asked) == 1
