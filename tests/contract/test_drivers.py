"""Every driver of hosts and containers keeps to the same contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from microservo.errors import Unavailable
from microservo.platforms.driver import Driver, TaggedDriver
from microservo.testing import ManualClock
from microservo.testing.checks import Check, refused
from microservo.testing.drivers import CHECKS, check_driver, container_plan, host_plan
from microservo.testing.memory_driver import MemoryInfrastructure


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_driver_in_memory_keeps_to(check: Check) -> None:
    infrastructure = MemoryInfrastructure(["cart"], start_s=0.05)
    check(lambda tag: TaggedDriver(infrastructure, managed_by=tag), "cart")


class _Deaf(TaggedDriver):
    """Stops nothing."""

    def stop(self, container_id: str, drain_s: float) -> int | None:
        """Does nothing."""


class _Careless(TaggedDriver):
    """Is the driver of everybody's containers."""

    def __init__(self, infrastructure: MemoryInfrastructure, *, managed_by: str) -> None:
        super().__init__(infrastructure, managed_by="everybody")


@pytest.mark.parametrize("wrong", [_Deaf, _Careless])
def test_a_wrong_driver_fails(wrong: Callable[..., Driver]) -> None:
    infrastructure = MemoryInfrastructure(["cart"])
    with pytest.raises(ExceptionGroup):
        check_driver(lambda tag: wrong(infrastructure, managed_by=tag), "cart")


def test_what_ended_by_itself_is_seen_with_its_exit_code_until_it_is_stopped() -> None:
    infrastructure = MemoryInfrastructure(["cart"])
    driver, host = TaggedDriver(infrastructure, managed_by="m"), host_plan()
    driver.start_host(host)
    plan = container_plan("cart", host.name)
    driver.launch(plan)
    infrastructure.end(plan.id, 3)
    assert [(each.ready, each.exit_code) for each in driver.containers()] == [(False, 3)]
    assert driver.launch(plan).exit_code == 3, "another incarnation has another id"
    driver.stop(plan.id, 0.0)
    assert list(driver.containers()) == []


def test_a_host_that_is_cut_off_is_not_up_and_can_not_be_acted_on() -> None:
    infrastructure = MemoryInfrastructure(["cart"])
    driver, host = TaggedDriver(infrastructure, managed_by="m"), host_plan()
    driver.start_host(host)
    plan = container_plan("cart", host.name)
    driver.launch(plan)
    infrastructure.cut_off(host.name, is_cut_off=True)
    assert [each.up for each in driver.hosts()] == [False]
    assert list(driver.containers()) == []
    with refused(Unavailable):
        driver.stop(plan.id, 0.0)
    with refused(Unavailable):
        driver.stop_host(host.name)
    infrastructure.cut_off(host.name, is_cut_off=False)
    assert [each.exit_code for each in driver.containers()] == [None], "it ran on meanwhile"


def test_a_host_that_failed_starts_anew_and_what_ran_there_has_ended() -> None:
    clock = ManualClock(1_000_000)
    infrastructure = MemoryInfrastructure(["cart"], start_s=2.0, clock=clock)
    driver, host = TaggedDriver(infrastructure, managed_by="m"), host_plan()
    driver.start_host(host)
    clock.advance(2_000_000)
    plan = container_plan("cart", host.name)
    driver.launch(plan)
    infrastructure.fail_host(host.name, is_down=True)
    infrastructure.fail_host(host.name, is_down=False)
    with refused(Unavailable):
        driver.launch(container_plan("cart", host.name))
    clock.advance(2_000_000)
    assert [each.exit_code for each in driver.containers()] == [-9]
