"""Who manages what, and who is heard."""

from __future__ import annotations

from microservo.domain.manager import recovery
from microservo.domain.manager.actions import READY_US, Launch, Stop
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities import Entity, Host, entity_key
from microservo.domain.manager.placing import begin, launch_databases
from microservo.domain.manager.step import Cause, Step

HEARTBEATS = "heartbeats"


def heard(step: Step, name: str, running: frozenset[str]) -> None:
    """A process lives; one that was silent is back, with what it says that runs and nothing else.

    usmanager's heartbeat brought everything back to life, whoever managed it.
    """
    state = step.state
    state.heard_us[name] = step.now_us
    if name not in state.silent:
        return
    del state.silent[name]
    _refresh(step, name)
    step.report(f"worker/{name}", "return", Cause(rule=HEARTBEATS, reason=f"{name} is heard again"))
    if state.name != MASTER:
        return
    for container in [each for each in state.containers.values() if each.managed_by == name]:
        if container.state == "running" and container.name not in running:
            # Its owner says so itself with its next change; until then it counts no more.
            state.remove(entity_key(container))


def look_for_silence(step: Step) -> None:
    """Whoever has not been heard of for a while is down, and with it what it manages."""
    state = step.state
    for name in sorted(state.heard_us):
        silence_us = step.now_us - state.heard_us[name]
        if name in state.silent or name == state.name or silence_us < state.settings.silence_us:
            continue
        state.silent[name] = None
        _refresh(step, name)
        reason = f"{name} has been silent for {silence_us // 1_000_000} s; what it manages counts as down"
        step.report(f"worker/{name}", "silent", Cause(rule=HEARTBEATS, reason=reason))


def _refresh(step: Step, worker: str) -> None:
    state = step.state
    for host in [each.name for each in state.hosts.values() if (each.worker or MASTER) == worker]:
        state.refresh_columns(host)
    state.unsettled.update(dict.fromkeys(state.services))


def assign(step: Step, host: Host, worker: str, cause: Cause) -> None:
    """Gives a host to a worker, with its node and its containers; an empty name gives it to the master.

    Components of the region that run there stay the master's: no worker can bring itself back.
    """
    state = step.state
    owner = worker or MASTER
    step.report(entity_key(host), "assign", cause, from_host=host.name)
    given: list[Entity | None] = [host, state.nodes.get(host.name)]
    given += [
        each for each in state.containers_on(host.name) if each.managed_by and not state.component_of(each)
    ]
    for entity in given:
        if entity is not None:
            step.assign(entity, owner)


def caught_up(step: Step) -> None:
    """All that was there at first is known: what was under way goes on, or has come to nothing."""
    state = step.state
    state.is_caught_up = True
    # One that has died before this process was started is never heard of: its silence begins now.
    for manager in sorted({host.worker or MASTER for host in state.hosts.values()} - {state.name}):
        state.heard_us.setdefault(manager, step.now_us)
    for container in sorted(state.containers.values(), key=lambda each: each.name):
        if container.state == "waiting" and state.manages(container):
            begin(step, container)
        elif container.state == "starting" and state.manages(container):
            # An earlier life may have ended between saying so and doing it; to launch it twice does no harm.
            state.deadlines[container.name] = step.now_us + READY_US
            step.do(Launch(container=container))
            service = state.services.get(container.service)
            if service is not None:
                # What was decided at once may be on the log in part.
                launch_databases(step, service, container.host, Cause(command_id=container.command_id))
        elif container.state == "down" and state.manages(container):
            state.retries.containers[container.name] = None
        elif container.state == "stopping" and state.manages(container):
            step.do(Stop(container=container.name, host=container.host))


def entity_changed(step: Step, key: str) -> None:
    """Others have changed an entity: a container that became this manager's to launch is launched.

    One that is down, and that its manager before had no room for, is tried again soon.
    """
    kind, _, name = key.partition("/")
    state = step.state
    if kind == "container":
        container = state.containers.get(name)
        if container is None or not state.manages(container):
            return
        if container.state == "waiting" and name not in state.deadlines:
            begin(step, container)
        elif container.state == "down":
            state.retries.containers[name] = None
    elif kind == "node" and name in state.nodes:
        recovery.launch_waiting(step, name)
