"""What people and programs want: checked first, so that nothing is touched where it can't be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from microservo.domain.geography import Coordinates
from microservo.domain.manager.actions import JoinHost, StartHost
from microservo.domain.manager.app_launches import launch_app
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities import (
    App,
    Container,
    Host,
    Service,
    Settings,
    entity_key,
    entity_of,
    owned,
)
from microservo.domain.manager.host_decisions import drain, leave
from microservo.domain.manager.ownership import assign
from microservo.domain.manager.placing import launch_near, launch_on, service_of
from microservo.domain.manager.policies import policy_named
from microservo.domain.manager.service_decisions import can_move, replacement_of, stop_with_databases
from microservo.domain.manager.state import COMMANDS_KEPT
from microservo.domain.manager.step import Cause, Step
from microservo.errors import InvalidInput
from schemas.records import ControlAction, ControlCommand

EntityT = TypeVar("EntityT")
_MOST_AT_ONCE = 1000


def receive(step: Step, command: ControlCommand) -> None:
    """Carries out a command once, however often it comes, or refuses it with the reason."""
    state = step.state
    if command.command_id in state.commands or not _is_for_us(step, command):
        return
    remember(step, (command.command_id,))
    cause = Cause(command_id=command.command_id, reason=f"asked for by {command.requested_by or 'somebody'}")
    try:
        _HANDLERS[command.action](step, command, cause)
    except InvalidInput as error:
        step.report(command.entity, command.action, replace(cause, reason=str(error)), state="refused")


def remember(step: Step, command_ids: Iterable[str]) -> None:
    """Knows commands as carried out."""
    commands = step.state.commands
    commands.update(dict.fromkeys(command_ids))
    while len(commands) > COMMANDS_KEPT:
        commands.popitem(last=False)


def _is_for_us(step: Step, command: ControlCommand) -> bool:
    """Each command is for one process: who manages the container or host, the master for all else."""
    state = step.state
    kind, _, name = command.entity.partition("/")
    manager = MASTER
    if (
        kind == "container"
        and name in state.containers
        and command.action in ("stop", "migrate", "replicate")
    ):
        manager = state.containers[name].managed_by or MASTER
    elif kind == "host" and name in state.hosts and command.action in ("drain", "activate", "join", "leave"):
        manager = state.hosts[name].worker or MASTER
    return manager == state.name


def _launch(step: Step, command: ControlCommand, cause: Cause) -> None:
    service = service_of(step, _name(command, "service"))
    count = int(_number(command, "count", 1, 1, _MOST_AT_ONCE))
    _refuse_too_many(step, service, count)
    for _ in range(count):
        if "host" in command.arguments:
            launch_on(step, service, _node(step, command), cause, action="launch")
        else:
            launch_near(step, service, _place(command), cause, action="launch")


def _launch_app(step: Step, command: ControlCommand, cause: Cause) -> None:
    app: App = _known(command, step.state.apps, "app")
    if f"launch-app:{app.name}" in step.state.pending:
        msg = f"app {app.name!r} is being launched; wait until that is done"
        raise InvalidInput(msg)
    if not app.services:
        msg = f"app {app.name!r} has no services; add some first"
        raise InvalidInput(msg)
    for each in app.services:
        service_of(step, each.service)
    launch_app(step, app, _place(command), cause)


def _replicate(step: Step, command: ControlCommand, cause: Cause) -> None:
    container = _container(step, command)
    service = service_of(step, container.service)
    _refuse_too_many(step, service, 1)
    if "host" in command.arguments:
        launch_on(step, service, _node(step, command), cause, action="replicate")
    else:
        launch_near(step, service, _place(command), cause, action="replicate")


def _migrate(step: Step, command: ControlCommand, cause: Cause) -> None:
    container = _container(step, command)
    service = service_of(step, container.service)
    if not can_move(step, container):
        why = (
            "has a volume on its host"
            if service.is_stateful
            else f"is {container.state} or about to be replaced"
        )
        msg = f"container {container.name!r} {why}, so it stays; take one that runs and has no volume"
        raise InvalidInput(msg)
    like = replacement_of(container)
    if "host" in command.arguments:
        host = _node(step, command)
        if host == container.host:
            msg = f"container {container.name!r} is on {host!r} already; choose another host"
            raise InvalidInput(msg)
        launch_on(step, service, host, cause, action="migrate", like=like)
        return
    launch_near(step, service, _place(command), cause, action="migrate", excluded={container.host}, like=like)


def _stop(step: Step, command: ControlCommand, cause: Cause) -> None:
    stop_with_databases(step, _container(step, command), cause)


def _drain(step: Step, command: ControlCommand, cause: Cause) -> None:
    host: Host = _known(command, step.state.hosts, "host")
    node = step.state.nodes.get(host.name)
    if node is None:
        msg = f"host {host.name!r} is no node of the cluster; there is nothing to drain"
        raise InvalidInput(msg)
    if host.is_managers:
        msg = f"the manager runs on {host.name!r}, which is not drained; move the manager first"
        raise InvalidInput(msg)
    if why := drain(step, host, node, cause, is_released=False):
        msg = f"{host.name!r} keeps its containers, for {why}; add a host, wait, or stop that container"
        raise InvalidInput(msg)


def _activate(step: Step, command: ControlCommand, cause: Cause) -> None:
    host: Host = _known(command, step.state.hosts, "host")
    node = step.state.nodes.get(host.name)
    if node is None:
        msg = f"host {host.name!r} is no node of the cluster; join it first"
        raise InvalidInput(msg)
    step.put(replace(node, availability="active", is_released_when_empty=False))
    step.report(entity_key(host), "activate", cause)


def _join(step: Step, command: ControlCommand, cause: Cause) -> None:
    host: Host = _known(command, step.state.hosts, "host")
    node = step.state.nodes.get(host.name)
    if node is not None and node.is_ready:
        msg = f"host {host.name!r} is a node already; activate it if it takes no containers"
        raise InvalidInput(msg)
    most = step.state.settings.maximum_hosts
    if node is None and most and len(step.state.nodes) >= most:
        count = len(step.state.nodes)
        msg = f"there are {count} nodes of at most {most}; raise maximum_hosts, or let one leave"
        raise InvalidInput(msg)
    step.report(entity_key(host), "join", cause, to_host=host.name)
    if host.state == "running":
        step.do(JoinHost(host=host.name))
        return
    step.put(replace(host, state="starting"))
    step.state.joining[host.name] = None
    step.do(StartHost(host=host.name))


def _leave(step: Step, command: ControlCommand, cause: Cause) -> None:
    host: Host = _known(command, step.state.hosts, "host")
    here = [each for each in step.state.containers_on(host.name) if each.managed_by]
    left = [each.name for each in here if not step.state.component_of(each)]
    if host.is_managers or left:
        what = "the manager itself" if host.is_managers else f"{len(left)} containers, as {left[0]!r}"
        msg = f"host {host.name!r} has {what} on it; drain it first"
        raise InvalidInput(msg)
    if host.name not in step.state.nodes:
        msg = f"host {host.name!r} is no node of the cluster"
        raise InvalidInput(msg)
    for each in here:
        # The region gets another one where it still needs it.
        step.stop(each, cause)
    leave(step, host, cause)


def _assign(step: Step, command: ControlCommand, cause: Cause) -> None:
    host: Host = _known(command, step.state.hosts, "host")
    worker = command.arguments.get("worker", "")
    _check_worker(step, worker)
    assign(step, host, "" if worker == MASTER else worker, cause)


def _check_worker(step: Step, worker: str) -> None:
    if worker not in ("", MASTER) and worker not in step.state.of_kind("worker"):
        known = ", ".join(sorted(step.state.of_kind("worker"))) or "none"
        msg = f"there is no worker {worker!r}; take one of {known}, or nothing for the master"
        raise InvalidInput(msg)


def _create(step: Step, command: ControlCommand, cause: Cause) -> None:
    if step.state.entity(command.entity) is not None:
        msg = f"{command.entity!r} exists; update it, or choose another name"
        raise InvalidInput(msg)
    _write(step, command, cause)


def _update(step: Step, command: ControlCommand, cause: Cause) -> None:
    if step.state.entity(command.entity) is None:
        msg = f"there is no {command.entity!r}; create it"
        raise InvalidInput(msg)
    if step.state.owner_of(command.entity) != MASTER:
        msg = (
            f"{command.entity!r} is managed by {step.state.owner_of(command.entity)!r}; assign its host first"
        )
        raise InvalidInput(msg)
    _write(step, command, cause)


def _write(step: Step, command: ControlCommand, cause: Cause) -> None:
    entity = entity_of(command.entity, command.document)
    if isinstance(entity, Settings) and entity.policy:
        policy_named(entity.policy, step.state.seed)
    if isinstance(entity, Container):
        msg = f"{command.entity!r} can't be written; launch, migrate or stop containers"
        raise InvalidInput(msg)
    step.state.rules_with({command.entity: entity})
    owner = step.state.owners.get(command.entity, "")
    if isinstance(entity, Host):
        _check_worker(step, entity.worker)
        owner = owner or entity.worker
    step.put(owned(entity, owner or MASTER), owner or MASTER)
    step.report(command.entity, command.action, cause, state="done")


def _delete(step: Step, command: ControlCommand, cause: Cause) -> None:
    key = command.entity
    if step.state.entity(key) is None:
        msg = f"there is no {key!r}, so it can't be deleted"
        raise InvalidInput(msg)
    _refuse_used(step, key)
    step.state.rules_with({key: None})
    step.remove(key)
    step.report(key, "delete", cause, state="done")


def _refuse_used(step: Step, key: str) -> None:
    """Refuses to delete what others stand on."""
    kind, _, name = key.partition("/")
    state = step.state
    here = state.containers_of(name) if kind == "service" else []
    here = state.containers_on(name) if kind == "host" else here
    if here:
        msg = f"{key!r} has {len(here)} containers, as {here[0].name!r}; stop them first"
        raise InvalidInput(msg)
    container = state.containers.get(name) if kind == "container" else None
    if container is not None and container.state not in ("down", "given_up"):
        msg = f"container {name!r} is {container.state}; stop it instead"
        raise InvalidInput(msg)
    users = [app.name for app in state.apps.values() if name in {each.service for each in app.services}]
    if kind == "service" and users:
        msg = f"service {name!r} is of app {min(users)!r}; take it out there first"
        raise InvalidInput(msg)


def _refuse_too_many(step: Step, service: Service, more: int) -> None:
    there = step.state.replicas(service.name)
    if service.maximum_replicas and there + more > service.maximum_replicas:
        msg = (
            f"service {service.name!r} has {there} of at most {service.maximum_replicas} replicas, so "
            f"{more} more are too many; stop some, or raise its maximum"
        )
        raise InvalidInput(msg)


def _container(step: Step, command: ControlCommand) -> Container:
    container: Container = _known(command, step.state.containers, "container")
    if not container.managed_by:
        msg = f"container {container.name!r} was started by others, so it is left alone"
        raise InvalidInput(msg)
    return container


def _known(command: ControlCommand, found: Mapping[str, EntityT], kind: str) -> EntityT:
    name = _name(command, kind)
    if name not in found:
        known = ", ".join(sorted(found)[:20]) or "none"
        msg = f"there is no {kind} {name!r}; take one of {known}"
        raise InvalidInput(msg)
    return found[name]


def _name(command: ControlCommand, kind: str) -> str:
    found, _, name = command.entity.partition("/")
    if found != kind or not name:
        msg = f"{command.action} is about a {kind}, not {command.entity!r}; give {kind}/<name>"
        raise InvalidInput(msg)
    return name


def _node(step: Step, command: ControlCommand) -> str:
    host = command.arguments["host"]
    node = step.state.nodes.get(host)
    if node is None or not node.is_ready or node.availability != "active":
        ready = sorted(
            name for name, each in step.state.nodes.items() if each.is_ready and each.availability == "active"
        )
        known = ", ".join(ready[:20]) or "none"
        msg = f"host {host!r} takes no containers; join or activate it, or take one of {known}"
        raise InvalidInput(msg)
    return host


def _place(command: ControlCommand) -> Coordinates:
    return Coordinates(
        _number(command, "latitude", None, -90, 90), _number(command, "longitude", None, -180, 180)
    )


def _number(command: ControlCommand, name: str, default: float | None, least: float, most: float) -> float:
    text = command.arguments.get(name, "" if default is None else str(default))
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        msg = f"{command.action} has the {name} {text!r}; give a number from {least:g} to {most:g}"
        raise InvalidInput(msg)
    return value


_HANDLERS: Mapping[ControlAction, Callable[[Step, ControlCommand, Cause], None]] = {
    "create": _create,
    "update": _update,
    "delete": _delete,
    "launch": _launch,
    "launch_app": _launch_app,
    "replicate": _replicate,
    "migrate": _migrate,
    "stop": _stop,
    "drain": _drain,
    "activate": _activate,
    "join": _join,
    "leave": _leave,
    "assign": _assign,
}
