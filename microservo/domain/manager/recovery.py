"""What starts, ends and fails: containers are brought back near their place, as long as it makes sense."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from microservo.domain.geography import Coordinates
from microservo.domain.manager.actions import JoinHost, Launch, Remove, Stop
from microservo.domain.manager.entities import Container, Host, Node, PendingAction, Port, Service, entity_key
from microservo.domain.manager.host_decisions import release_if_empty
from microservo.domain.manager.placing import begin, launch_near, launch_on
from microservo.domain.manager.step import Cause, Step

RECOVERY, ENDING = "recovery", "ending"


def started(step: Step, name: str, ports: tuple[Port, ...]) -> None:
    """A container runs; what it replaces is stopped a little later, when callers know of the new one.

    One that was given up is there all the same: its launch went through after its deadline.
    """
    state = step.state
    container = state.containers.get(name)
    if container is None or not state.manages(container):
        return
    if container.state not in ("starting", "waiting", "down", "given_up"):
        return
    state.deadlines.pop(name, None)
    running = step.change(
        container, state="running", started_at_us=step.now_us, ports=ports or container.ports
    )
    identity = step.report(
        entity_key(running),
        "launch",
        Cause(command_id=running.command_id),
        state="done",
        service=running.service,
        container=name,
        to_host=running.host,
    )
    if running.replaces in state.containers:
        pending = PendingAction(
            name=f"stop:{running.replaces}",
            task="stop",
            subject=running.replaces,
            due_us=step.now_us + state.settings.migration_delay_us,
            decision_id=identity,
        )
        step.wait(pending)


def ended(step: Step, name: str, reason: str) -> None:
    """A container runs no more: as it should, or it is brought back."""
    container = step.state.containers.get(name)
    if container is None or not step.state.manages(container) or container.state == "given_up":
        return
    step.forget("stop", name)
    if container.state == "stopping" or name in step.state.replaced_by:
        _gone(step, container)
    elif container.state == "waiting":
        return
    elif container.started_at_us == 0:
        launch_failed(step, name, reason or "it ended before it answered")
    else:
        _recover(step, container, reason or "it ended", is_own_fault=True)


def _gone(step: Step, container: Container) -> None:
    step.remove(entity_key(container))
    step.report(
        entity_key(container),
        "stop",
        Cause(),
        state="done",
        service=container.service,
        container=container.name,
        from_host=container.host,
    )
    release_if_empty(step, container.host)


def launch_failed(step: Step, name: str, reason: str) -> None:
    """A container could not be launched: on another host, unless so many have failed already.

    Where there is no other host it is tried there again, as one that ended, and as often. One that serves by
    now is left: what failed is only the answer to the one who asked for it.
    """
    state = step.state
    container = state.containers.get(name)
    if container is None or not state.manages(container) or container.state not in ("waiting", "starting"):
        return
    state.deadlines.pop(name, None)
    failed = (*container.failed_hosts, container.host)
    service = state.services.get(container.service)
    if service is not None and service.component:
        # It belongs to its region, so it is tried there again, as one that ended, and as often.
        _recover(step, container, reason, is_own_fault=True)
        return
    cause = Cause(command_id=container.command_id, reason=f"{reason} on {container.host or 'a new instance'}")
    if service is None or len(failed) >= state.settings.most_launches:
        _give_up(step, replace(container, failed_hosts=failed), f"{len(failed)} hosts have failed: {reason}")
        return
    like = replace(container, failed_hosts=failed)
    target = Coordinates(container.latitude, container.longitude)
    launch = partial(launch_near, step, service, target, cause, action="launch", excluded=failed, like=like)
    if step.substitute(container, launch) is None:
        _recover(step, container, reason, is_own_fault=True)


def _recover(step: Step, container: Container, reason: str, *, is_own_fault: bool) -> None:
    """Launches the next incarnation of a container near its place.

    Args:
        step: the decision in the making.
        container: the one that ended.
        reason: why.
        is_own_fault: its host still stands, so the end counts.
    """
    state = step.state
    service = state.services.get(container.service)
    if service is None or (service.component and not is_own_fault):
        # A region that needs it gets another one, on a host that stands.
        step.remove(entity_key(container))
        return
    if not step.policy.recovers and not service.component:
        _leave_down(step, container, reason)
        return
    since_us = step.now_us - state.settings.recovery_window_us
    earlier = tuple(at_us for at_us in container.recovered_at_us if at_us > since_us)
    if is_own_fault and len(earlier) >= state.settings.most_recoveries:
        minutes = state.settings.recovery_window_us // 60_000_000
        _give_up(step, container, f"it was brought back {len(earlier)} times in {minutes} min: {reason}")
        return
    ends = (*earlier, step.now_us) if is_own_fault else earlier
    if service.component:
        # The next one is launched where its region still needs it, which `settle_regions` knows.
        step.change(container, state="down", recovered_at_us=ends, replaces="")
        return
    like = replace(container, recovers=container.name, recovered_at_us=ends, failed_hosts=(), replaces="")
    _next_incarnation(step, service, container, like, Cause(rule=RECOVERY, reason=reason))


def _leave_down(step: Step, container: Container, reason: str) -> None:
    """Records that a container is down, so that a later policy may bring it back."""
    step.put(replace(container, state="down", recovers=container.name, replaces=""), container.managed_by)
    step.report(
        entity_key(container),
        "end",
        Cause(rule=step.policy.name, reason=f"{reason}; the policy {step.policy.name} leaves it down"),
        state="done",
        service=container.service,
        container=container.name,
        from_host=container.host,
    )


def _next_incarnation(
    step: Step, service: Service, container: Container, like: Container, cause: Cause
) -> None:
    state = step.state
    siblings = state.containers_of(service.name)
    if any(each.recovers == container.name != each.name for each in siblings):
        # An earlier life was killed between writing the next incarnation and deleting this one.
        step.remove(entity_key(container))
        return
    host = state.hosts.get(container.host)
    stays = service.is_stateful or service.type == "database"
    if stays and (host is None or host.state != "running"):
        waits = replace(cause, reason=f"{cause.reason}; it waits for {container.host}, which has its volume")
        step.change(container, state="down")
        step.report(entity_key(container), "recover", waits, service=service.name, container=container.name)
        return
    target = Coordinates(container.latitude, container.longitude)
    launch = (
        partial(launch_on, step, service, container.host, cause, action="recover", like=like)
        if stays
        else partial(launch_near, step, service, target, cause, action="recover", like=like)
    )
    if step.substitute(container, launch) is None:
        # There is no room for now: it is kept, so that it comes back when there is.
        step.put(replace(like, state="down", recovers=container.name))
        step.state.retries.containers[container.name] = None


def recover_homeless(step: Step) -> None:
    """Tries again where there was no room for a container."""
    names, step.state.retries.containers = list(step.state.retries.containers), {}
    for name in names:
        container = step.state.containers.get(name)
        service = step.state.services.get(container.service) if container is not None else None
        if container is None or service is None or not step.state.manages(container):
            # It was deleted, or its host was given to another manager, whose task it is by now.
            continue
        if container.state == "down" and not service.component:
            cause = Cause(rule=RECOVERY, reason="there was no room before")
            _next_incarnation(step, service, container, container, cause)


def _give_up(step: Step, container: Container, reason: str) -> None:
    """Leaves it at that, and says so; it takes the place of a replica until somebody deletes it."""
    step.change(container, state="given_up", failed_hosts=container.failed_hosts, replaces="")
    step.report(
        entity_key(container),
        "recover",
        Cause(rule=RECOVERY, reason=f"given up, {reason}; mend it, then delete the container"),
        state="given_up",
        service=container.service,
        container=container.name,
        from_host=container.host,
    )


def found(step: Step, host: str, running: frozenset[str]) -> None:
    """All that runs on a host: what is recorded and isn't there has ended, what is there was never gone."""
    state = step.state
    for container in state.containers_on(host):
        if not state.manages(container):
            continue
        if container.name in running:
            # One that is starting runs, but may not answer yet: that is told by itself.
            if container.state == "down":
                started(step, container.name, container.ports)
        elif container.state == "down" and step.policy.recovers and not state.component_of(container):
            _back_on_host(step, container)
        elif container.state in ("running", "stopping"):
            ended(step, container.name, f"{host} runs it no more")


def orphan_found(step: Step, name: str, host: str) -> None:
    """A container of ours that nothing is recorded of is stopped: another one runs in its place."""
    if name in step.state.containers or not step.state.is_mine(host):
        return
    cause = Cause(rule=RECOVERY, reason=f"it still runs on {host}, and has been replaced or deleted")
    step.report(f"container/{name}", "stop", cause, container=name, from_host=host)
    step.do(Stop(container=name, host=host))


def stop_all(step: Step) -> None:
    """Stops all that this process manages, and decides nothing more: nothing comes in the place of these."""
    state = step.state
    state.is_caught_up = False
    cause = Cause(rule=ENDING, reason=f"{state.name} ends in order")
    for container in sorted(state.containers.values(), key=lambda each: each.name):
        if state.manages(container) and container.state in ("waiting", "starting", "running"):
            step.stop(container, cause)


def _back_on_host(step: Step, container: Container) -> None:
    """Its volume is there again, so it is launched beside it."""
    starting = step.change(container, state="starting", started_at_us=0)
    step.do(Launch(container=starting))


def host_up(step: Step, name: str, shares: str) -> None:
    """A host answers; containers that wait for it are launched, or have it joined first."""
    host = step.state.hosts.get(name)
    if host is None or not step.state.is_mine(name):
        return
    if host.state != "running" or host.shares != shares:
        step.put(replace(host, state="running", shares=shares))
    node = step.state.nodes.get(name)
    if node is not None and not node.is_ready:
        step.put(replace(node, is_ready=True))
    if name in step.state.joining:
        del step.state.joining[name]
        step.do(JoinHost(host=name))
    launch_waiting(step, name)


def host_joined(step: Step, name: str) -> None:
    """A host takes containers from now on."""
    state = step.state
    if name not in state.hosts or not state.is_mine(name):
        return
    owner = state.owner_of(f"host/{name}")
    node = state.nodes.get(name) or Node(host=name)
    step.put(replace(node, is_ready=True, availability="active"), owner)
    if state.hosts[name].state != "running":
        step.put(replace(state.hosts[name], state="running"))
    launch_waiting(step, name)


def launch_waiting(step: Step, host: str) -> None:
    """Launches what waits for a host, or has the host joined for it."""
    waiting = sorted(step.state.waiting_for.get(host, ()))
    is_node = host in step.state.nodes
    for name in waiting if is_node else waiting[:1]:
        begin(step, step.state.containers[name])


def hosts_down(step: Step, names: Iterable[str], reason: str) -> None:
    """Hosts have failed: what ran there is brought back on others than these, without blame."""
    for name in [name for name in names if _is_down(step, name, reason)]:
        for container in step.state.containers_on(name):
            if step.state.manages(container):
                _lose(step, container, reason)


def _is_down(step: Step, name: str, reason: str) -> bool:
    """Enters that a host has failed; False where that isn't this manager's to say."""
    state = step.state
    host = state.hosts.get(name)
    if host is None or not state.is_mine(name):
        return False
    was_running = host.state == "running"
    state.joining.pop(name, None)
    step.put(replace(host, state="down"))
    node = state.nodes.get(name)
    if node is not None:
        step.put(replace(node, is_ready=False))
    if was_running:
        step.report(entity_key(host), "host-down", Cause(rule=RECOVERY, reason=reason), from_host=name)
    return True


def _lose(step: Step, container: Container, reason: str) -> None:
    """The host of a container has failed."""
    if container.state in ("waiting", "starting"):
        _launch_elsewhere(step, container, Cause(rule=RECOVERY, reason=reason))
    elif container.state == "running" and container.name not in step.state.replaced_by:
        _recover(step, container, reason, is_own_fault=False)
    elif container.state in ("running", "stopping"):
        _gone(step, container)


def _launch_elsewhere(step: Step, container: Container, cause: Cause) -> None:
    """Launches a container that its host did not live to start; where many fail at once, none is to blame."""
    service = step.state.services.get(container.service)
    if service is None or service.component:
        step.remove(entity_key(container))
        return
    target = Coordinates(container.latitude, container.longitude)
    excluded = (*container.failed_hosts, container.host)
    launch = partial(
        launch_near, step, service, target, cause, action="launch", excluded=excluded, like=container
    )
    if step.substitute(container, launch) is None:
        step.do(Remove(key=entity_key(container)))


def instance_launched(step: Step, host: Host, container: str) -> None:
    """The instance for a container is there; it is joined, and launched on then."""
    step.put(host, step.state.name)
    waiting = step.state.containers.get(container)
    if waiting is not None and waiting.state == "waiting":
        step.change(waiting, host=host.name)
    step.do(JoinHost(host=host.name))
