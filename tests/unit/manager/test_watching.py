"""What a manager sees, and what it is told where its driver does not answer."""

from __future__ import annotations

import queue
from collections.abc import Sequence

from managers import GIB, PLACES

from microservo.domain.geography import Coordinates
from microservo.domain.manager import actions, events
from microservo.errors import Retryable
from microservo.platforms.driver import ContainerPlan, HostPlan, HostSeen, TaggedDriver
from microservo.testing.memory_driver import MemoryInfrastructure
from services.manager.performing import Performer, Told
from services.manager.watching import Watcher


def host_plan(name: str) -> HostPlan:
    return HostPlan(
        name=name,
        region="Europe",
        coordinates=Coordinates(*PLACES[name]),
        cpus=2.0,
        memory_bytes=8 * GIB,
        kind="edge",
    )


def told_in(waiting: queue.SimpleQueue[Told]) -> list[events.Event]:
    found = []
    while not waiting.empty():
        found.append(waiting.get()(7))
    return found


def test_what_was_seen_stays_as_it_is_while_a_host_goes_down() -> None:
    infrastructure = MemoryInfrastructure(("front",))
    driver = TaggedDriver(infrastructure, managed_by="t")
    driver.start_host(host_plan("berlin"))
    driver.launch(ContainerPlan(id="front-1", service="front", host="berlin"))
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()
    watcher = Watcher(driver, told, forget=lambda _: None)
    watcher.look()
    assert [type(each).__name__ for each in told_in(told)] == [
        "HostUp",
        "ContainersFound",
        "ContainerStarted",
    ]
    seen = watcher.seen()
    infrastructure.cut_off("berlin", is_cut_off=True)
    watcher.look()
    assert told_in(told) == [events.HostDown(now_us=7, host="berlin", reason="it does not answer")]
    assert set(seen) == {"front-1"}
    assert (set(watcher.seen()), watcher.up()) == (set(), frozenset())


class AwayDriver(TaggedDriver):
    """One that does not answer."""

    def hosts(self) -> Sequence[HostSeen]:
        msg = "the launcher does not answer"
        raise Retryable(msg)


def test_a_host_that_can_not_be_asked_for_does_not_join_and_that_is_told() -> None:
    driver = AwayDriver(MemoryInfrastructure(("front",)), managed_by="t")
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()
    with Performer(driver, told, host_of=lambda _: None, service_of=lambda _: None) as performer:
        performer.do(actions.JoinHost(host="berlin"))
        assert performer.wait_idle(30)
    (event,) = told_in(told)
    assert event == events.HostDown(now_us=7, host="berlin", reason="the launcher does not answer")
