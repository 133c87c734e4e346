"""A host takes containers once it is up, and no more than it has memory for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microservo.domain.target_memory import instance_memory_bytes
from microservo.domain.topology import Service
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import ContainerPlan, HostPlan
from microservo.platforms.local.host_groups import HostGroups
from microservo.platforms.local.hosts import LocalHosts
from microservo.testing import ManualClock
from microservo.testing.drivers import host_plan

S = 1_000_000
CART = Service(name="cart", memory_mb=100.0, endpoints={})
SERVICES = {"cart": CART}


def on(plan: HostPlan, *, cpus: float = 0.0) -> ContainerPlan:
    return ContainerPlan(id="cart-1", service="cart", host=plan.name, cpus=cpus)


def test_a_host_is_up_once_its_time_to_start_has_passed() -> None:
    clock = ManualClock(10 * S)
    hosts, plan = LocalHosts(2.0, clock, HostGroups()), host_plan()
    hosts.start(plan)
    with pytest.raises(Unavailable, match="not up"):
        hosts.check_takes(on(plan), [], SERVICES)
    assert [(each.up, each.started_us) for each in hosts.seen()] == [(False, 0)]
    clock.advance(2 * S)
    hosts.check_takes(on(plan), [], SERVICES)
    assert [(each.up, each.started_us) for each in hosts.seen()] == [(True, 12 * S)]


def test_a_host_takes_as_many_containers_as_its_memory_has_room_for() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups())
    plan = replace(host_plan(), memory_bytes=2 * instance_memory_bytes(CART))
    hosts.start(plan)
    hosts.check_takes(on(plan), [on(plan)], SERVICES)
    mib = plan.memory_bytes // 2**20
    with pytest.raises(
        Unavailable, match=f"{mib} MiB of memory, of which its containers take {mib}, and cart"
    ):
        hosts.check_takes(on(plan), [on(plan), on(plan)], SERVICES)


def test_a_host_that_nothing_holds_to_its_processors_takes_as_many_as_it_has_processors_for() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups())
    plan = replace(host_plan(), cpus=2.0, memory_bytes=2**40)
    hosts.start(plan)
    assert [each.shares for each in hosts.seen()] == ["accounted"]
    one = on(plan, cpus=0.9)
    hosts.check_takes(one, [one], SERVICES)
    with pytest.raises(Unavailable, match=r"has 2 processors, .* expected to keep 1\.8 busy, and cart 0\.9"):
        hosts.check_takes(one, [one, one], SERVICES)
    hosts.check_takes(on(plan), [one, one], SERVICES)


def test_a_host_that_is_held_to_its_processors_takes_more_that_get_slower_together(tmp_path: Path) -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups([tmp_path], "cgroup v2"))
    plan = replace(host_plan(), cpus=2.0, memory_bytes=2**40)
    hosts.start(plan)
    one = on(plan, cpus=0.9)
    hosts.check_takes(one, [one, one], SERVICES)
    assert [each.shares for each in hosts.seen()] == ["cgroup v2"]


def test_a_host_that_nobody_started_takes_nothing() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S), HostGroups())
    with pytest.raises(InvalidInput, match="no host 'rome'"):
        hosts.check_takes(on(replace(host_plan(), name="rome")), [], SERVICES)


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
        hosts.check_takes(on(plan), [], SERVICES)
    assert hosts.mend(plan.name, "f2")
    assert [each.up for each in hosts.seen()] == [False]
    clock.advance(2 * S)
    assert [each.up for each in hosts.seen()] == [True]
    hosts.stop(plan.name)
    assert hosts.seen() == []
