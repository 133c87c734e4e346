"""A host takes containers once it is up, and no more than it has memory for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import ContainerPlan, HostPlan
from microservo.platforms.local.host_groups import HostGroups
from microservo.platforms.local.hosts import LocalHosts
from microservo.testing import ManualClock
from microservo.testing.drivers import host_plan

S = 1_000_000
CART_BYTES = 185 * 2**20


def on(plan: HostPlan, *, cpus: float = 0.0) -> ContainerPlan:
    return ContainerPlan(id="cart-1", service="cart", host=plan.name, cpus=cpus)


def check(hosts: LocalHosts, plan: ContainerPlan, *beside: ContainerPlan) -> None:
    """Asks for room for one more, where each takes the memory of a cart."""
    hosts.check_takes(plan, beside, lambda _: CART_BYTES)


def test_a_host_is_up_once_its_time_to_start_has_passed() -> None:
    clock = ManualClock(10 * S)
    hosts, plan = LocalHosts(2.0, clock, HostGroups()), host_plan()
    hosts.start(plan)
    with pytest.raises(Unavailable, match="not up"):
        check(hosts, on(plan))
    assert [(each.up, each.started_us) for each in hosts.seen()] == [(False, 0)]
    clock.advance(2 * S)
    check(hosts, on(plan))
    assert [(each.up, each.started_us) for each in hosts.seen()] == [(True, 12 * S)]


def test_a_host_takes_as_many_containers_as_its_memory_has_room_for() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups())
    plan = replace(host_plan(), memory_bytes=2 * CART_BYTES)
    hosts.start(plan)
    check(hosts, on(plan), on(plan))
    mib = plan.memory_bytes // 2**20
    with pytest.raises(
        Unavailable, match=f"{mib} MiB of memory, of which its containers take {mib}, and cart"
    ):
        check(hosts, on(plan), on(plan), on(plan))


def test_a_host_that_nothing_holds_to_its_processors_takes_as_many_as_it_has_processors_for() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups())
    plan = replace(host_plan(), cpus=2.0, memory_bytes=2**40)
    hosts.start(plan)
    assert [each.shares for each in hosts.seen()] == ["accounted"]
    one = on(plan, cpus=0.9)
    check(hosts, one, one)
    with pytest.raises(Unavailable, match=r"has 2 processors, .* expected to keep 1\.8 busy, and cart 0\.9"):
        check(hosts, one, one, one)
    check(hosts, on(plan), one, one)


def test_a_host_that_is_held_to_its_processors_takes_more_that_get_slower_together(tmp_path: Path) -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups([tmp_path], "cgroup v2"))
    plan = replace(host_plan(), cpus=2.0, memory_bytes=2**40)
    hosts.start(plan)
    one = on(plan, cpus=0.9)
    check(hosts, one, one, one)
    assert [each.shares for each in hosts.seen()] == ["cgroup v2"]


def test_a_host_that_nobody_started_takes_nothing() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups())
    with pytest.raises(InvalidInput, match="no host 'rome'"):
        check(hosts, on(replace(host_plan(), name="rome")))


def test_a_host_is_down_as_long_as_any_fault_holds_it_and_starts_again_then() -> None:
    clock = ManualClock(10 * S)
    hosts, plan = LocalHosts(2.0, clock, HostGroups()), host_plan()
    hosts.start(plan)
    clock.advance(2 * S)
    hosts.fail(plan.name, "f1")
    hosts.fail(plan.name, "f2")
    assert not hosts.mend(plan.name, "f1")
    assert [each.up for each in hosts.seen()] == [False]
    with pytest.raises(Unavailable, match="is down"):
        hosts.stop(plan.name)
    with pytest.raises(Unavailable):
        check(hosts, on(plan))
    assert hosts.mend(plan.name, "f2")
    assert [each.up for each in hosts.seen()] == [False]
    clock.advance(2 * S)
    assert [each.up for each in hosts.seen()] == [True]
    hosts.stop(plan.name)
    assert hosts.seen() == []
