"""What every driver keeps to, as sentences that an extension's tests run on infrastructure of their own.

Example::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_driver(check: Check, infrastructure: MyInfrastructure) -> None:
        check(infrastructure.driver, infrastructure.service)
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from microservo.adapters.clock import now_us
from microservo.domain.geography.coordinates import Coordinates
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import ContainerPlan, ContainerSeen, Driver, HostPlan, HostSeen
from microservo.testing import eventually
from microservo.testing.checks import checks_in, refused, run_checks

MakeDriver = Callable[[str], Driver]
"""Makes the driver of the manager with this tag; all of one infrastructure."""

_TIMEOUT_S = 60.0
_MEMORY_BYTES = 512 * 2**20


def a_host_is_listed_until_it_is_stopped_and_is_up_after_a_while(make: MakeDriver, service: str) -> None:
    driver, plan = make(_new("manager")), host_plan()
    began_us = now_us()
    driver.start_host(plan)
    assert _host(driver, plan.name) is not None
    up = _wait_up(driver, plan.name)
    assert began_us <= up.started_us <= now_us()
    driver.stop_host(plan.name)
    assert _host(driver, plan.name) is None


def who_starts_or_stops_a_host_again_changes_nothing(make: MakeDriver, service: str) -> None:
    driver = make(_new("manager"))
    with _host_up(driver) as plan:
        before = _host(driver, plan.name)
        driver.start_host(plan)
        assert _host(driver, plan.name) == before
    driver.stop_host(plan.name)


def a_host_that_can_not_be_or_is_another_one_is_refused(make: MakeDriver, service: str) -> None:
    driver, impossible = make(_new("manager")), replace(host_plan(), cpus=0.0)
    with refused(InvalidInput):
        driver.start_host(impossible)
    assert _host(driver, impossible.name) is None
    with _host_up(driver) as plan, refused(InvalidInput):
        driver.start_host(replace(plan, cpus=plan.cpus * 2))


def a_container_runs_where_it_was_launched_and_gets_ready(make: MakeDriver, service: str) -> None:
    driver = make(tag := _new("manager"))
    with _host_up(driver) as host:
        plan, began_us = container_plan(service, host.name), now_us()
        launched = driver.launch(plan)
        assert (launched.id, launched.service, launched.host) == (plan.id, service, host.name)
        assert began_us <= launched.started_us <= now_us()
        assert (launched.exit_code, launched.managed_by) == (None, tag)
        ready = _wait_ready(driver, plan.id)
        assert (ready.address, ready.started_us) == (launched.address, launched.started_us)
        name, _, port = ready.address.rpartition(":")
        assert name
        assert 0 < int(port) < 65_536
        driver.stop(plan.id, 0.0)


def containers_have_addresses_of_their_own(make: MakeDriver, service: str) -> None:
    driver = make(_new("manager"))
    with _host_up(driver) as host:
        launched = [driver.launch(container_plan(service, host.name)) for _ in range(2)]
        assert len({each.address for each in launched}) == len(launched)
        assert [each.id for each in driver.containers()] == sorted(each.id for each in launched)


def who_launches_a_container_again_gets_the_one_that_is_there(make: MakeDriver, service: str) -> None:
    driver = make(_new("manager"))
    with _host_up(driver) as host:
        plan = container_plan(service, host.name)
        first = driver.launch(plan)
        again = driver.launch(plan)
        assert (again.address, again.started_us) == (first.address, first.started_us)
        assert len(driver.containers()) == 1
        with refused(InvalidInput):
            driver.launch(replace(plan, environment={"ANOTHER": "1"}))


def a_stopped_container_is_seen_no_more_and_stopping_it_again_is_no_error(
    make: MakeDriver, service: str
) -> None:
    driver = make(_new("manager"))
    with _host_up(driver) as host:
        plan = container_plan(service, host.name)
        driver.launch(plan)
        driver.stop(plan.id, 0.0)
        assert list(driver.containers()) == []
        driver.stop(plan.id, 0.0)
        driver.stop("no-such-container", 0.0)


def an_unknown_host_or_service_is_refused_and_nothing_runs(make: MakeDriver, service: str) -> None:
    driver = make(_new("manager"))
    with refused(InvalidInput):
        driver.launch(container_plan(service, "no-such-host"))
    with _host_up(driver) as host:
        with refused(InvalidInput):
            driver.launch(container_plan("no-such-service", host.name))
        assert list(driver.containers()) == []


def a_host_that_is_not_up_takes_no_container(make: MakeDriver, service: str) -> None:
    driver, plan = make(_new("manager")), host_plan()
    driver.start_host(plan)
    try:
        seen = _host(driver, plan.name)
        assert seen is not None
        if not seen.up:
            with refused(Unavailable):
                driver.launch(container_plan(service, plan.name))
    finally:
        driver.stop_host(plan.name)


def what_runs_on_a_stopped_host_is_gone(make: MakeDriver, service: str) -> None:
    driver = make(_new("manager"))
    with _host_up(driver) as host:
        driver.launch(container_plan(service, host.name))
    assert list(driver.containers()) == []


def what_another_manager_launched_is_neither_seen_nor_stopped(make: MakeDriver, service: str) -> None:
    ours, another = make(_new("manager")), make(_new("manager"))
    with _host_up(ours) as host:
        plan = container_plan(service, host.name)
        ours.launch(plan)
        assert list(another.containers()) == []
        another.stop(plan.id, 0.0)
        assert [each.id for each in ours.containers()] == [plan.id]


def a_manager_that_comes_back_sees_what_it_launched(make: MakeDriver, service: str) -> None:
    tag = _new("manager")
    driver = make(tag)
    with _host_up(driver) as host:
        plan = container_plan(service, host.name)
        launched = driver.launch(plan)
        seen = make(tag).containers()
        assert [(each.id, each.address) for each in seen] == [(plan.id, launched.address)]


CHECKS = checks_in(sys.modules[__name__])
"""Each is given a way to make drivers, and the name of a service that can be launched."""


def check_driver(make: MakeDriver, service: str) -> None:
    """Runs all checks on the drivers of one infrastructure.

    Args:
        make: gives the driver of a manager.
        service: that can be launched and gets ready by itself.

    Raises:
        ExceptionGroup: what does not hold.
    """
    run_checks(CHECKS, lambda: (make, service))


@contextmanager
def _host_up(driver: Driver) -> Iterator[HostPlan]:
    plan = host_plan()
    driver.start_host(plan)
    try:
        _wait_up(driver, plan.name)
        yield plan
    finally:
        driver.stop_host(plan.name)


def host_plan() -> HostPlan:
    """Of a small machine in Berlin, with a name of its own."""
    return HostPlan(
        name=_new("host"),
        region="Europe",
        coordinates=Coordinates(52.5, 13.4),
        cpus=1.0,
        memory_bytes=_MEMORY_BYTES,
        kind="cloud",
    )


def container_plan(service: str, host: str) -> ContainerPlan:
    """Of an instance of a service on a host, with an id of its own."""
    return ContainerPlan(id=_new(service), service=service, host=host)


def _new(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


def _host(driver: Driver, name: str) -> HostSeen | None:
    return next((each for each in driver.hosts() if each.name == name), None)


def _wait_up(driver: Driver, name: str) -> HostSeen:
    def up() -> HostSeen | None:
        seen = _host(driver, name)
        return seen if seen is not None and seen.up else None

    seen = eventually(up, timeout_s=_TIMEOUT_S, what=f"host {name} being up")
    assert seen is not None
    return seen


def _wait_ready(driver: Driver, container_id: str) -> ContainerSeen:
    def ready() -> ContainerSeen | None:
        return next((each for each in driver.containers() if each.id == container_id and each.ready), None)

    seen = eventually(ready, timeout_s=_TIMEOUT_S, what=f"container {container_id} being ready")
    assert seen is not None
    return seen
