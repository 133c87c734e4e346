"""What a region with containers has besides: a balancer, a registry, a worker; no longer than needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities import (
    Container,
    Entity,
    LoadBalancer,
    PendingAction,
    RegistrationServer,
    Service,
    Worker,
    entity_key,
    worker_name,
)
from microservo.domain.manager.ownership import assign
from microservo.domain.manager.placing import launch_on
from microservo.domain.manager.step import Cause, Step
from microservo.domain.placement import NoHost, choose_host_of_region
from microservo.domain.target_memory import COMPONENT_BYTES

REGION_COMPONENTS = "region components"
REGION_SERVICES: tuple[Service, ...] = (
    Service(name="region-registry", type="system", component="registry", memory_bytes=float(COMPONENT_BYTES)),
    Service(
        name="region-balancer", type="system", component="load-balancer", memory_bytes=float(COMPONENT_BYTES)
    ),
    Service(name="region-worker", type="system", component="worker", memory_bytes=float(COMPONENT_BYTES)),
)
"""A service for each kind of component, for managers that shall launch them."""
_HANDED_BACK_US = 5_000_000
"""So long a worker has to read that its hosts are the master's again, before it is stopped."""


def settle_regions(step: Step) -> None:
    """Launches the components of regions that have got containers; has those of empty regions removed later.

    The master's task, for components are its own wherever they run. A region that gets containers again
    before that keeps them. usmanager counted the components themselves as containers, so it never removed
    any, and let the timer run on.
    """
    state = step.state
    if state.name != MASTER:
        return
    names, state.unsettled_regions = sorted(state.unsettled_regions), {}
    components = _services(step)
    if not components:
        return
    for region in names:
        if _is_used(step, region):
            step.forget("remove-components", region)
            for service in components:
                _ensure(step, service, region)
        elif _of_region(step, components, region):
            _remove_later(step, region)
        _record(step, components, region)


def _services(step: Step) -> list[Service]:
    services = step.state.services
    return [services[name] for name in sorted(services) if services[name].component]


def _is_used(step: Step, region: str) -> bool:
    state = step.state
    for name in state.by_region.get(region, ()):
        container = state.containers[name]
        service = state.services.get(container.service)
        if container.managed_by and (service is None or not service.component):
            return True
    return False


def _of_region(step: Step, components: Sequence[Service], region: str) -> list[Container]:
    """Those that are there or keep a place, such as one that was given up; not those that are stopped."""
    return [
        container
        for service in components
        for container in step.state.containers_of(service.name)
        if container.region == region and container.state != "stopping" and container.managed_by
    ]


def _ensure(step: Step, service: Service, region: str) -> None:
    """Launches a component that a region lacks, or the next one in place of one that has ended."""
    known = _of_region(step, [service], region)
    ended = [each for each in known if each.state == "down"]
    if len(known) > len(ended) or _is_run_by_others(step, service, region):
        return
    state = step.state
    found = next((each for each in state.regions if each.name == region), None)
    if found is None:
        return
    choice = choose_host_of_region(
        found, state.columns.hosts(), state.need(service.name), regions=state.regions
    )
    if isinstance(choice, NoHost):
        state.retries.regions[region] = None
        return
    cause = Cause(rule=REGION_COMPONENTS, reason=f"{region} has containers and no {service.component}")
    for each in ended:
        step.remove(entity_key(each))
    like = ended[-1] if ended else None
    if like is not None:
        # Where it is wanted is where its host is: the one before may have run elsewhere.
        host = state.hosts[choice.host]
        like = replace(
            like, recovers=like.name, failed_hosts=(), latitude=host.latitude, longitude=host.longitude
        )
    launch_on(step, service, choice.host, cause, action="recover" if like else "launch", like=like)


def _is_run_by_others(step: Step, service: Service, region: str) -> bool:
    """Whether somebody runs a worker for the region that no manager has launched."""
    workers: list[Worker] = list(step.state.of_kind("worker").values())
    return service.component == "worker" and any(
        each.region == region and not each.container for each in workers
    )


def _record(step: Step, components: Sequence[Service], region: str) -> None:
    """Enters the components that run among the entities, and takes out those that don't."""
    wanted: dict[str, Entity] = {}
    for service in components:
        for container in _of_region(step, [service], region):
            if container.state == "running":
                entity = _entity_of(service, container)
                wanted[entity_key(entity)] = entity
    workers = [each for each in components if each.component == "worker"]
    for kind in ("load-balancer", "registration-server", "worker"):
        # A worker that has ended still owns hosts, which its next life finds under its name; one that is
        # being stopped still sends heartbeats.
        if kind == "worker" and _are_left(step, workers, region):
            continue
        for entity in list(step.state.of_kind(kind).values()):
            key = entity_key(entity)
            if entity.region == region and entity.container and key not in wanted:
                step.remove(key)
                # Nobody waits for its heartbeats any more.
                step.state.heard_us.pop(entity.name, None)
    for key, entity in wanted.items():
        if step.state.entity(key) != entity:
            step.put(entity, MASTER)


def _are_left(step: Step, services: Sequence[Service], region: str) -> bool:
    return any(
        container.region == region
        for service in services
        for container in step.state.containers_of(service.name)
    )


def _entity_of(service: Service, container: Container) -> Entity:
    name, region = container.name, container.region
    if service.component == "load-balancer":
        return LoadBalancer(name=name, container=name, region=region)
    if service.component == "registry":
        return RegistrationServer(name=name, container=name, region=region)
    return Worker(name=worker_name(region), region=region, host=container.host, container=name)


def _remove_later(step: Step, region: str) -> None:
    name = f"remove-components:{region}"
    if name not in step.state.pending:
        due_us = step.now_us + step.state.settings.component_grace_us
        pending = PendingAction(name=name, task="remove-components", subject=region, due_us=due_us)
        step.wait(pending)


def remove_components(step: Step, pending: PendingAction) -> None:
    """Stops what a region that is still empty needs no more; hosts of its worker are the master's before."""
    region = pending.subject
    if _is_used(step, region):
        step.remove(entity_key(pending))
        return
    cause = Cause(rule=REGION_COMPONENTS, reason=f"{region} has had no containers for long enough")
    components = _services(step)
    if _hand_back(step, components, region, cause):
        step.put(replace(pending, due_us=step.now_us + _HANDED_BACK_US))
        return
    step.remove(entity_key(pending))
    for container in _of_region(step, components, region):
        step.stop(container, cause)


def _hand_back(step: Step, components: Sequence[Service], region: str, cause: Cause) -> bool:
    """Gives the hosts of a region's own worker to the master; whether there were any."""
    own = [each for each in components if each.component == "worker"]
    if not _of_region(step, own, region):
        return False
    name = worker_name(region)
    hosts = [each for each in step.state.hosts.values() if each.worker == name]
    for host in sorted(hosts, key=lambda each: each.name):
        assign(step, host, "", cause)
    return bool(hosts)
