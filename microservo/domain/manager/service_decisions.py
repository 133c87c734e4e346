"""How many containers each service has, and where: by rules, and never fewer than its minimum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from microservo.domain.geography import Coordinates, distance_m
from microservo.domain.manager.entities import Container, Service
from microservo.domain.manager.placing import choose, launch_near, launch_on
from microservo.domain.manager.step import Cause, Step
from microservo.domain.placement import NoHost
from microservo.domain.rules import DECISIONS, Decided, Outcome
from microservo.domain.telemetry import Int64

_ORDER: tuple[Decided, ...] = ("migrate", "replicate", "stop")
"""Where containers of one service ask for several things at once, the first one that can be done is done."""
MINIMUM_REPLICAS = "minimum replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A container for which it is time to act."""

    container: Container
    decided: Decided
    priority: int
    cause: Cause

    @property
    def name(self) -> str:
        """Of the container."""
        return self.container.name


def decide_services(step: Step, slots: Int64, outcome: Outcome) -> None:
    """Acts on what the rules say of containers: once for each service, and for all services.

    Args:
        step: the decision in the making.
        slots: those for which it is time to act.
        outcome: of the rules.
    """
    measured = step.state.of_containers
    by_service: dict[str, list[Candidate]] = {}
    for slot in slots.tolist():
        container = step.state.containers.get(measured.metrics.names[slot])
        if container is not None:
            by_service.setdefault(container.service, []).append(_candidate(container, slot, outcome))
    for name in sorted(by_service):
        service = step.state.services.get(name)
        if service is None or name in step.touched:
            continue
        mine = [each for each in by_service[name] if may_decide(step, each.container)]
        if mine and _act(step, service, mine):
            step.touched[name] = None
            ours = measured.slots(iter(step.state.by_service.get(name, ())))
            measured.streaks.acted(ours, step.now_us)


def may_decide(step: Step, container: Container) -> bool:
    """Whether this manager decides about one: the master about all, a worker about its own meanwhile."""
    state = step.state
    return bool(container.managed_by) and (state.name == "master" or state.manages(container))


def _candidate(container: Container, slot: int, outcome: Outcome) -> Candidate:
    rule = outcome.rule(slot)
    assert rule is not None, "it is time to act only where a rule matched"
    evidence = outcome.evidence(slot)
    said = " and ".join(
        f"{each.condition.field} {each.value:g} {each.condition.operator} {each.condition.value:g}"
        for each in evidence
    )
    return Candidate(
        container=container,
        decided=DECISIONS[int(outcome.decision[slot])],
        priority=rule.priority,
        cause=Cause(rule=rule.name, evidence=evidence, reason=said),
    )


def _act(step: Step, service: Service, candidates: list[Candidate]) -> bool:
    """Does the first thing of `_ORDER` that is asked for and can be done; returns whether there is one."""
    return any(
        _ACTS[decided](step, service, asked)
        for decided in _ORDER
        if (asked := [each for each in candidates if each.decided == decided])
    )


def _migrate(step: Step, service: Service, candidates: list[Candidate]) -> bool:
    """Moves the container that is farthest from the demand, if its move pays: for the others it pays less."""
    target = step.state.wanted_at(service.name, step.now_us)
    able = [each for each in candidates if can_move(step, each.container)]
    if target is None or not able:
        return False
    first = max(able, key=lambda each: (distance_m(step.state.place_of(each.container), target), each.name))
    return migrate_to_demand(step, service, first.container, first.cause)


def _replicate(step: Step, service: Service, candidates: list[Candidate]) -> bool:
    """Launches one more near the demand, or where that is not known, beside the one that asks."""
    first = min(candidates, key=lambda each: (-each.priority, each.name))
    wanted = step.state.wanted_at(service.name, step.now_us)
    return replicate(step, service, wanted or step.state.place_of(first.container), first.cause)


def replicate(step: Step, service: Service, target: Coordinates, cause: Cause) -> bool:
    """Launches one more container near a place, unless there are as many as may be; whether it did."""
    most, there = service.maximum_replicas, step.state.replicas(service.name)
    if most and there >= most:
        return False
    return launch_near(step, service, target, cause, action="replicate") is not None


def migrate_to_demand(step: Step, service: Service, container: Container, cause: Cause) -> bool:
    """Moves a container towards the demand, where a host is so much nearer that it pays.

    usmanager's demand centre was never there, and a container could move to the host that it was on.
    """
    target = step.state.wanted_at(service.name, step.now_us)
    if target is None or not can_move(step, container):
        return False
    choice = choose(step, service, target, excluded={container.host})
    if isinstance(choice, NoHost):
        return False
    now_m = distance_m(step.state.place_of(container), target)
    if choice.distance_m > now_m * (1 - step.state.settings.gain_percent / 100):
        return False
    like = replacement_of(container)
    return (
        launch_near(step, service, target, cause, action="migrate", excluded={container.host}, like=like)
        is not None
    )


def migrate_on(step: Step, container: Container, host: str, cause: Cause) -> bool:
    """Moves a container to a host; the old one is stopped some time after the new one runs."""
    service = step.state.services[container.service]
    like = replacement_of(container)
    return launch_on(step, service, host, cause, action="migrate", like=like) is not None


def replacement_of(container: Container) -> Container:
    """What a container's replacement has in common with it."""
    return replace(container, replaces=container.name, recovers="", failed_hosts=(), recovered_at_us=())


def can_move(step: Step, container: Container) -> bool:
    """Whether a container may be replaced by one elsewhere: it runs, is ours and has no volume."""
    return not why_it_stays(step, container)


def why_it_stays(step: Step, container: Container) -> str:
    """Why a container can't be replaced by one elsewhere; empty if it can."""
    service = step.state.services.get(container.service)
    if service is None or not container.managed_by:
        return "others started it"
    if service.is_stateful or not service.is_governed:
        return f"{service.name} is a {'stateful' if service.is_stateful else service.type} service"
    if container.name in step.state.replaced_by:
        return "it is on its way to another host"
    return "" if container.state == "running" else f"it is {container.state.replace('_', ' ')}"


def _stop(step: Step, service: Service, candidates: list[Candidate]) -> bool:
    """Stops the least useful of those that rules would stop: fewest requests, then farthest from demand."""
    state = step.state
    target = state.wanted_at(service.name, step.now_us)
    able = [each for each in candidates if each.container.name not in state.replaced_by]
    if not able:
        return False
    chosen = min(able, key=lambda each: _use(step, each.container, target))
    return stop_one(step, service, chosen.container, chosen.cause)


_ACTS: Mapping[Decided, Callable[[Step, Service, list[Candidate]], bool]] = {
    "migrate": _migrate,
    "replicate": _replicate,
    "stop": _stop,
}


def stop_one(step: Step, service: Service, container: Container, cause: Cause) -> bool:
    """Stops a container, unless the minimum needs it, it has a volume or is replaced; whether it did."""
    state = step.state
    if state.replicas(service.name) <= state.minimum(service, step.now_us):
        return False
    if service.is_stateful or container.name in state.replaced_by:
        return False
    stop_with_databases(step, container, cause)
    return True


def _use(step: Step, container: Container, target: Coordinates | None) -> tuple[float, float, str]:
    metrics = step.state.of_containers.metrics
    row, slot = metrics.fields.get("rx-bytes-per-sec"), metrics.slot_of(container.name)
    requests = float(metrics.values[row, slot]) if row is not None and slot is not None else 0.0
    away_m = 0.0 if target is None else distance_m(step.state.place_of(container), target)
    return (0.0 if np.isnan(requests) else requests), -away_m, container.name


def waits_for_database(step: Step, container: Container) -> bool:
    """Whether a database that a container needs is on its way to its host, so that it can't serve yet."""
    state = step.state
    needed = state.dependencies.get(container.service, ())
    return any(
        each.service in needed
        and each.state in ("waiting", "starting")
        and each.service in state.services
        and state.services[each.service].type == "database"
        for each in state.containers_on(container.host)
    )


def stop_with_databases(step: Step, container: Container, cause: Cause) -> None:
    """Stops a container, and the databases on its host that nobody else there uses."""
    state = step.state
    step.stop(container, cause)
    beside = [each for each in state.containers_on(container.host) if each.takes_part]
    for database in beside:
        known = state.services.get(database.service)
        if known is None or known.type != "database" or known.is_stateful or known.minimum_replicas:
            continue
        users = state.dependents.get(database.service, {})
        if container.service in users and not any(each.service in users for each in beside):
            step.stop(database, replace(cause, reason=f"nobody on {container.host} uses it any more"))


def settle(step: Step) -> None:
    """Launches what services lack of their minimum, with or without a rule, even where there is none.

    usmanager did so only where a rule had matched, so a service without containers stayed without.
    """
    state = step.state
    if not (state.decides_for_services and step.policy.keeps_minimum):
        return
    names, state.unsettled = sorted(state.unsettled), {}
    for name in names:
        service = state.services.get(name)
        if service is None or service.component:
            continue
        if not _fill(step, service):
            state.retries.services[name] = None


def _fill(step: Step, service: Service) -> bool:
    """Whether the minimum is reached; where there is no room it is tried again."""
    state = step.state
    minimum = state.minimum(service, step.now_us)
    if not minimum:
        return True
    there = state.replicas(service.name)
    for _ in range(minimum - there - state.kept_places(service.name)):
        reason = f"{there} of at least {minimum} replicas"
        cause = Cause(rule=MINIMUM_REPLICAS, reason=reason)
        if launch_near(step, service, step.policy.place(step, service), cause, action="launch") is None:
            return False
        there += 1
    return True


def place_near_demand(step: Step, service: Service) -> Coordinates:
    """Where a container is wanted: near the demand, near others of the service, or where settings say."""
    state = step.state
    wanted = state.wanted_at(service.name, step.now_us)
    if wanted is not None:
        return wanted
    others = [each for each in state.containers_of(service.name) if each.managed_by]
    if others:
        return Coordinates(others[0].latitude, others[0].longitude)
    return Coordinates(state.settings.latitude, state.settings.longitude)
