"""A host takes containers once it is up, and no more than it has memory for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.local.hosts import LocalHosts
from microservo.testing import ManualClock
from microservo.testing.drivers import host_plan

S = 1_000_000
CART_BYTES = 185 * 2**20


def check(hosts: LocalHosts, name: str, beside: int = 0) -> None:
    """Asks for room for one more cart beside so many."""
    hosts.check_takes(name, "cart", wanted_bytes=CART_BYTES, taken_bytes=beside * CART_BYTES)


def test_a_host_is_up_once_its_time_to_start_has_passed() -> None:
    clock = ManualClock(10 * S)
    hosts, plan = LocalHosts(2.0, clock), host_plan()
    hosts.start(plan)
    with pytest.raises(Unavailable, match="not up"):
        check(hosts, plan.name)
    assert [(each.up, each.started_us) for each in hosts.seen()] == [(False, 0)]
    clock.advance(2 * S)
    check(hosts, plan.name)
    assert [(each.up, each.started_us) for each in hosts.seen()] == [(True, 12 * S)]


def test_a_host_takes_as_many_containers_as_its_memory_has_room_for() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S))
    plan = replace(host_plan(), memory_bytes=2 * CART_BYTES)
    hosts.start(plan)
    check(hosts, plan.name, 1)
    mib = plan.memory_bytes // 2**20
    with pytest.raises(
        Unavailable, match=f"{mib} MiB of memory, of which its containers take {mib}, and cart"
    ):
        check(hosts, plan.name, 2)


def test_a_host_that_nobody_started_takes_nothing() -> None:
    hosts = LocalHosts(0.0, ManualClock(10 * S))
    with pytest.raises(InvalidInput, match="no host 'rome'"):
        check(hosts, "rome")


def test_a_host_is_down_as_long_as_any_fault_holds_it_and_starts_again_then() -> None:
    clock = ManualClock(10 * S)
    hosts, plan = LocalHosts(2.0, clock), host_plan()
    hosts.start(plan)
    clock.advance(2 * S)
    hosts.fail(plan.name, "f1")
    hosts.fail(plan.name, "f2")
    assert not hosts.mend(plan.name, "f1")
    assert [each.up for each in hosts.seen()] == [False]
    with pytest.raises(Unavailable, match="is down"):
        hosts.stop(plan.name)
    with pytest.raises(Unavailable):
        check(hosts, plan.name)
    assert hosts.mend(plan.name, "f2")
    assert [each.up for each in hosts.seen()] == [False]
    clock.advance(2 * S)
    assert [each.up for each in hosts.seen()] == [True]
    hosts.stop(plan.name)
    assert hosts.seen() == []
