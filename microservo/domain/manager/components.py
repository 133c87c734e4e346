"""What a region with containers has besides: a balancer, a registry, a worker; no longer than needed."""

from __future__ import annotations

from microservo.domain.manager.entities import Container, PendingAction, Service, entity_key
from microservo.domain.manager.placing import launch_on
from microservo.domain.manager.step import Cause, Step
from microservo.domain.placement import NoHost, choose_host_of_region

REGION_COMPONENTS = "region components"


def settle_regions(step: Step) -> None:
    """Launches the components of regions that have got containers; has those of empty regions removed later.

    A region that gets containers again before that keeps them. usmanager counted the components themselves
    as containers, so it never removed any, and let the timer run on.
    """
    state = step.state
    if not state.decides_for_services:
        return
    names, state.unsettled_regions = sorted(state.unsettled_regions), {}
    components = [state.services[name] for name in sorted(state.services) if state.services[name].component]
    if not components:
        return
    for region in names:
        if _is_used(step, region):
            step.forget("remove-components", region)
            for service in components:
                _ensure(step, service, region)
        elif _of_region(step, components, region):
            _remove_later(step, region)


def _is_used(step: Step, region: str) -> bool:
    state = step.state
    for name in state.by_region.get(region, ()):
        container = state.containers[name]
        service = state.services.get(container.service)
        if container.managed_by and (service is None or not service.component):
            return True
    return False


def _of_region(step: Step, components: list[Service], region: str) -> list[Container]:
    return [
        container
        for service in components
        for container in step.state.containers_of(service.name)
        if container.region == region and container.takes_part and container.managed_by
    ]


def _ensure(step: Step, service: Service, region: str) -> None:
    if _of_region(step, [service], region):
        return
    state = step.state
    known = next((each for each in state.regions if each.name == region), None)
    if known is None:
        return
    choice = choose_host_of_region(
        known, state.columns.hosts(), state.need(service.name), regions=state.regions
    )
    cause = Cause(rule=REGION_COMPONENTS, reason=f"{region} has containers and no {service.component}")
    if isinstance(choice, NoHost):
        state.retries.regions[region] = None
        return
    launch_on(step, service, choice.host, cause, action="launch")


def _remove_later(step: Step, region: str) -> None:
    name = f"remove-components:{region}"
    if name not in step.state.pending:
        due_us = step.now_us + step.state.settings.component_grace_us
        pending = PendingAction(name=name, task="remove-components", subject=region, due_us=due_us)
        step.wait(pending)


def remove_components(step: Step, pending: PendingAction) -> None:
    """Stops what a region that is still empty needs no more."""
    step.remove(entity_key(pending))
    if _is_used(step, pending.subject):
        return
    state = step.state
    components = [state.services[name] for name in sorted(state.services) if state.services[name].component]
    cause = Cause(rule=REGION_COMPONENTS, reason=f"{pending.subject} has had no containers for long enough")
    for container in _of_region(step, components, pending.subject):
        step.stop(container, cause)
