"""Launching containers: on which host, with what beside them, and what has to be done to the host first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from microservo.domain.geography import AWS_REGIONS, Coordinates
from microservo.domain.manager.actions import READY_US, JoinHost, Launch, LaunchInstance, StartHost
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities import (
    Container,
    Port,
    Service,
    entity_key,
    expand_launch,
)
from microservo.domain.manager.step import Cause, Step
from microservo.domain.placement import Choice, NoHost, choose_host, first_free_port
from microservo.errors import InvalidInput, MicroServoError


def choose(
    step: Step, service: Service, target: Coordinates, *, excluded: Collection[str] = ()
) -> Choice | NoHost:
    """The host for a container of a service that is wanted near a place."""
    state = step.state
    taken = set(excluded)
    if service.is_singleton:
        taken |= {each.host for each in state.containers_of(service.name) if each.takes_part}
    is_open = not state.settings.maximum_hosts or len(state.nodes) < state.settings.maximum_hosts
    may_launch = state.settings.may_launch_instances and is_open
    need = state.need(service.name)
    return choose_host(
        target,
        state.columns.hosts(),
        need,
        excluded=taken,
        aws_regions=AWS_REGIONS if may_launch else (),
        known=state.columns.why_not(need),
    )


def launch_near(
    step: Step,
    service: Service,
    target: Coordinates,
    cause: Cause,
    *,
    action: str,
    excluded: Collection[str] = (),
    like: Container | None = None,
) -> Container | None:
    """Launches a container where it has room and is nearest to a place; None where there is no room.

    Args:
        step: the decision in the making.
        service: what is launched.
        target: where it is wanted.
        cause: why.
        action: what it is called in events: launch, replicate, migrate, recover.
        excluded: hosts that it must not go to.
        like: gives the other values of the container: what it replaces or recovers.
    """
    choice = choose(step, service, target, excluded=excluded)
    if isinstance(choice, NoHost):
        counts = ", ".join(f"{reason} {count}" for reason, count in sorted(choice.counts().items()))
        reason = f"no host has room for {service.name}: {counts or 'there are none'}; add or free one"
        step.report(
            entity_key(service), action, replace(cause, reason=reason), state="failed", service=service.name
        )
        return None
    container = _made(step, service, target, choice.host, like=like, cause=cause)
    if choice.kind == "new":
        _say(step, container, cause, action, like)
        return _launched_on_instance(step, container, choice.aws_region)
    return _launched(step, service, container, cause, action=action, like=like)


def launch_on(
    step: Step,
    service: Service,
    host: str,
    cause: Cause,
    *,
    action: str,
    like: Container | None = None,
) -> Container | None:
    """Launches a container on a host that is chosen already."""
    known = step.state.hosts[host]
    target = Coordinates(known.latitude, known.longitude)
    if like is not None:
        target = Coordinates(like.latitude, like.longitude)
    made = _made(step, service, target, host, like=like, cause=cause)
    return _launched(step, service, made, cause, action=action, like=like)


def _made(
    step: Step, service: Service, target: Coordinates, host: str, *, like: Container | None, cause: Cause
) -> Container:
    known = step.state.hosts.get(host)
    place = target if known is None else Coordinates(known.latitude, known.longitude)
    manager = step.state.name if known is None else known.worker or MASTER
    values = {
        "name": step.identity(service.name),
        "service": service.name,
        "host": host,
        "state": "waiting",
        "latitude": target.latitude,
        "longitude": target.longitude,
        "region": step.state.region_of(place),
        # Components of regions are the master's, whoever manages their host.
        "managed_by": MASTER if service.component else manager,
        "started_at_us": 0,
        # A rule or recovery of later is not what the command asked for.
        "command_id": cause.command_id,
    }
    if like is not None:
        return replace(like, **values)  # type: ignore[arg-type]
    return Container(**values)  # type: ignore[arg-type]


def _launched_on_instance(step: Step, container: Container, cloud_region: str) -> Container:
    step.put(container, step.state.name)
    step.state.deadlines[container.name] = step.now_us + READY_US
    step.do(LaunchInstance(cloud_region=cloud_region, container=container.name))
    return container


def _launched(
    step: Step,
    service: Service,
    container: Container,
    cause: Cause,
    *,
    action: str,
    like: Container | None,
) -> Container | None:
    try:
        container = _with_address(step, service, container)
    except MicroServoError as error:
        refused = replace(cause, reason=str(error))
        step.report(entity_key(service), action, refused, state="failed", service=service.name)
        return None
    launch_databases(step, service, container.host, cause)
    step.put(container, container.managed_by)
    _say(step, container, cause, action, like)
    if step.state.manages(container):
        begin(step, container)
    return container


def _say(step: Step, container: Container, cause: Cause, action: str, like: Container | None) -> None:
    step.report(
        entity_key(container),
        action,
        cause,
        service=container.service,
        container=container.name,
        from_host=like.host if like is not None else "",
        to_host=container.host,
    )


def begin(step: Step, container: Container) -> None:
    """Launches a container that waits, or does first what its host needs."""
    state = step.state
    host = state.hosts.get(container.host)
    if host is None:
        return
    state.deadlines[container.name] = step.now_us + READY_US
    state.deadlines.move_to_end(container.name)
    if host.name in state.nodes and host.state == "running":
        started = step.change(container, state="starting")
        step.do(Launch(container=started))
    elif host.state == "running":
        step.do(JoinHost(host=host.name))
    elif host.state == "off":
        step.put(replace(host, state="starting"))
        step.do(StartHost(host=host.name))


def _with_address(step: Step, service: Service, container: Container) -> Container:
    """With ports that are free on its host, and its launch text filled in.

    Raises:
        MicroServoError: no port is free, or there is no value for a placeholder.
    """
    state = step.state
    taken = {port.external for each in state.containers_on(container.host) for port in each.ports}
    ports = []
    for port in service.ports:
        external = first_free_port(port.external, taken)
        taken.add(external)
        ports.append(Port(internal=port.internal, external=external))
    values = {
        "hostname": container.host,
        "latitude": f"{container.latitude:g}",
        "longitude": f"{container.longitude:g}",
        "internalPort": str(ports[0].internal) if ports else "",
        "externalPort": str(ports[0].external) if ports else "",
        **_labels(step, service, container.host),
    }
    launch = expand_launch(service.launch, values)
    return replace(container, ports=tuple(ports), launch=launch, environment=dict(service.environment))


def _labels(step: Step, service: Service, host: str) -> dict[str, str]:
    """Addresses by output label of what a service depends on; on its own host where there is one."""
    found = {}
    for name in sorted(step.state.dependencies.get(service.name, ())):
        other = step.state.services.get(name)
        if other is None or not other.output_label:
            continue
        ready = [each for each in step.state.containers_of(name) if each.state == "running" and each.ports]
        ready.sort(key=lambda each: (each.host != host, each.name))
        if ready:
            found[other.output_label] = f"{ready[0].host}:{ready[0].ports[0].external}"
    return found


def launch_databases(step: Step, service: Service, host: str, cause: Cause) -> None:
    """Each database that a service needs is on its host; one that is there already is shared."""
    for name in sorted(step.state.dependencies.get(service.name, ())):
        database = step.state.services.get(name)
        if database is None or database.type != "database":
            continue
        if not any(each.takes_part and each.service == name for each in step.state.containers_on(host)):
            launch_on(step, database, host, cause, action="launch")


def service_of(step: Step, name: str) -> Service:
    """A service that there is.

    Raises:
        InvalidInput: there is none of that name.
    """
    found = step.state.services.get(name)
    if found is None:
        known = ", ".join(sorted(step.state.services)[:20]) or "none"
        msg = f"there is no service {name!r}; create it first, or take one of {known}"
        raise InvalidInput(msg)
    return found
