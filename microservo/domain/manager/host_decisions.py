"""Relieving hosts that have too much to do, and releasing those that have too little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from microservo.domain.geography import Coordinates
from microservo.domain.manager.actions import LeaveHost
from microservo.domain.manager.entities import Container, Host, Node, entity_key
from microservo.domain.manager.placing import choose, launch_near
from microservo.domain.manager.service_decisions import can_move, migrate_on, replacement_of, why_it_stays
from microservo.domain.manager.step import Cause, Step
from microservo.domain.placement import Containers, NoHost, NotDrained, plan_drain, rank_reliefs
from microservo.domain.rules import DECISIONS, Outcome
from microservo.domain.telemetry import Float64, Int64

DRAIN = "drain"


def decide_hosts(step: Step, slots: Int64, outcome: Outcome) -> None:
    """Acts on what the rules say of hosts; of several at once where they don't get in each other's way.

    Overloaded hosts come first, then underloaded ones. What a host was given in this decision it keeps.

    Args:
        step: the decision in the making.
        slots: those for which it is time to act.
        outcome: of the rules.
    """
    measured = step.state.of_hosts
    candidates = []
    for slot in slots.tolist():
        decided, name = DECISIONS[int(outcome.decision[slot])], measured.metrics.names[slot]
        rule = outcome.rule(slot)
        assert rule is not None, "it is time to act only where a rule matched"
        candidates.append((decided != "overload", -rule.priority, name, slot))
    for is_underload, _, name, slot in sorted(candidates):
        host = step.state.hosts.get(name)
        if host is None or name in step.touched or not step.state.is_mine(name) or host.is_managers:
            continue
        rule = outcome.rule(slot)
        assert rule is not None
        cause = Cause(rule=rule.name, evidence=outcome.evidence(slot), reason=_said(outcome, slot))
        if release(step, host, cause) if is_underload else relieve(step, host, cause):
            step.touched[name] = None
            measured.streaks.acted(np.array([slot]), step.now_us)


def _said(outcome: Outcome, slot: int) -> str:
    return " and ".join(
        f"{each.condition.field} {each.value:g} {each.condition.operator} {each.condition.value:g}"
        for each in outcome.evidence(slot)
    )


def relieve(step: Step, host: Host, cause: Cause) -> bool:
    """Moves the container of a host whose move helps most at least cost and that finds another place."""
    if host.name not in step.state.columns:
        return False
    here = step.state.containers_on(host.name)
    if any(each.name in step.state.replaced_by for each in here):
        # The last move isn't done yet, so what it helps is not known.
        return False
    columns = _columns(step, host, here)
    ranked = rank_reliefs(step.state.columns.hosts(), step.state.columns.row(host.name), columns)
    for relief in ranked:
        container = step.state.containers[relief.name]
        if container.service in step.touched:
            continue
        service = step.state.services[container.service]
        target = Coordinates(float(columns.latitude[relief.index]), float(columns.longitude[relief.index]))
        if isinstance(choose(step, service, target, excluded={host.name}), NoHost):
            continue
        gain = f"its move takes {relief.relief:.0%} of the excess at cost {relief.cost:.2f}"
        why = replace(cause, reason=f"{cause.reason}; {gain}")
        moved = launch_near(
            step,
            service,
            target,
            why,
            action="migrate",
            excluded={host.name},
            like=replacement_of(container),
        )
        if moved is not None:
            step.touched[container.service] = None
            step.touched[moved.host] = None
            return True
    return False


def release(step: Step, host: Host, cause: Cause) -> bool:
    """Drains a host in order to release it, if all its containers find a place and enough hosts are left."""
    state = step.state
    node = state.nodes.get(host.name)
    staying = sum(each.availability == "active" and each.is_ready for each in state.nodes.values())
    if node is None or node.availability != "active" or staying <= max(1, state.settings.minimum_hosts):
        return False
    if drain(step, host, node, cause, is_released=True):
        return False
    release_if_empty(step, host.name)
    return True


def drain(step: Step, host: Host, node: Node, cause: Cause, *, is_released: bool) -> str:
    """Moves all containers away from a host, or none where one can't; returns why not, empty if they are."""
    state = step.state
    here = [each for each in state.containers_on(host.name) if each.managed_by]
    leaving = [each for each in here if _leaves(step, each)]
    for each in leaving:
        if reason := why_it_stays(step, each):
            return f"{each.name} stays: {reason}"
    moves = plan_drain(
        state.columns.hosts(),
        state.columns.row(host.name),
        _columns(step, host, leaving),
        excluded=[name for name in step.touched if name in state.columns],
    )
    if isinstance(moves, NotDrained):
        return f"{moves.container} stays: {moves.reason}"
    identity = step.report(entity_key(host), "drain", cause, from_host=host.name)
    step.put(replace(node, availability="drain", is_released_when_empty=is_released))
    why = replace(cause, reason=f"{cause.reason}; {host.name} is drained ({identity})")
    for move in moves:
        migrate_on(step, state.containers[move.container], move.host, why)
        step.touched[move.host] = None
    return ""


def _leaves(step: Step, container: Container) -> bool:
    """Whether it has to find another place before its host is released: not what ends with the host."""
    service = step.state.services.get(container.service)
    is_ending = container.state == "stopping" or container.name in step.state.replaced_by
    return service is not None and service.type != "system" and not is_ending


def release_if_empty(step: Step, name: str) -> None:
    """Takes a drained host out of the cluster once its last container is gone, with what ends with it."""
    state = step.state
    node, host = state.nodes.get(name), state.hosts.get(name)
    if node is None or host is None or not node.is_released_when_empty:
        return
    here = [each for each in state.containers_on(name) if each.managed_by]
    if any(_leaves(step, each) or each.name in state.replaced_by for each in here):
        return
    cause = Cause(rule=DRAIN, reason=f"{name} is empty and released")
    for container in here:
        step.stop(container, cause)
    leave(step, host, cause)


def leave(step: Step, host: Host, cause: Cause) -> None:
    """Takes a host out of the cluster; a machine is stopped only if the manager started it."""
    step.remove(f"node/{host.name}")
    if host.is_ours:
        step.put(replace(host, state="off"))
    step.report(entity_key(host), "leave", cause, from_host=host.name)
    step.do(LeaveHost(host=host.name, stops=host.is_ours))


def leave_failed(step: Step, name: str, reason: str) -> None:
    """A machine runs on, and may cost, though it has left."""
    step.report(f"host/{name}", "leave", Cause(reason=reason), state="failed", from_host=name)


def _columns(step: Step, host: Host, here: Sequence[Container]) -> Containers:
    """Containers of a host as placement looks at them: measured, or else as their services expect."""
    state = step.state
    needs = [state.need(each.service) for each in here]
    share = _measured(step, here, "cpu-%") * (host.cores / 100)
    used = _measured(step, here, "ram")
    requests = np.nan_to_num(_measured(step, here, "rx-bytes-per-sec"))
    places = [state.wanted_at(each.service, step.now_us) or state.place_of(each) for each in here]
    return Containers(
        names=tuple(each.name for each in here),
        cpu_cores=np.where(np.isnan(share), [need.cpu_cores for need in needs], share),
        memory_bytes=np.where(np.isnan(used), [need.memory_bytes for need in needs], used),
        disk_bytes=np.array([need.disk_bytes for need in needs], np.float64),
        requests_per_s=requests,
        latitude=np.array([place.latitude for place in places], np.float64),
        longitude=np.array([place.longitude for place in places], np.float64),
        can_move=np.array([can_move(step, each) for each in here], np.bool_),
    )


def _measured(step: Step, here: Sequence[Container], field: str) -> Float64:
    metrics = step.state.of_containers.metrics
    row = metrics.fields.get(field)
    slots = [metrics.slot_of(each.name) for each in here]
    values = [np.nan if row is None or slot is None else metrics.values[row, slot] for slot in slots]
    return np.array(values, np.float64)
