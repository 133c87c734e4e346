"""Launching whole apps: services at once where they don't depend on one another, else in their order."""

from __future__ import annotations

from dataclasses import replace

from microservo.domain.geography import Coordinates
from microservo.domain.manager.entities import App, PendingAction, entity_key
from microservo.domain.manager.placing import launch_near
from microservo.domain.manager.step import Cause, Step

_NEVER_US = (1 << 62) - 1
LAUNCH_OF = "launch of "
"""What decisions that launch the services of an app have in front of its name, as their rule."""


def launch_app(step: Step, app: App, place: Coordinates, cause: Cause) -> None:
    """Begins to launch the services of an app near a place; databases come with those that need them."""
    state = step.state
    found = sorted(app.services, key=lambda each: (each.launch_order, each.service))
    services = tuple(each.service for each in found if state.services[each.service].type != "database")
    identity = step.report(entity_key(app), "launch_app", cause)
    pending = PendingAction(
        name=f"launch-app:{app.name}",
        task="launch-app",
        subject=app.name,
        due_us=_NEVER_US,
        decision_id=identity,
        services=services,
        latitude=place.latitude,
        longitude=place.longitude,
    )
    step.wait(pending)
    go_on(step, pending)


def go_on_with_all(step: Step) -> None:
    """Launches what has become possible now that another container runs."""
    for name in sorted(step.state.pending):
        pending = step.state.pending[name]
        # What another manager launches it goes on with itself.
        if pending.task == "launch-app" and step.state.is_own(entity_key(pending)):
            go_on(step, pending)


def go_on(step: Step, pending: PendingAction) -> None:
    """Launches the services of an app whose dependencies run."""
    state = step.state
    app = state.apps.get(pending.subject)
    if app is None:
        step.remove(entity_key(pending))
        return
    place = Coordinates(pending.latitude, pending.longitude)
    launched = set()
    for name in [each for each in pending.services if _is_ready(step, app, each)]:
        service = state.services.get(name)
        launched.add(name)
        if service is None:
            continue
        cause = Cause(rule=f"{LAUNCH_OF}{app.name}", reason=f"of app {app.name}, in its order")
        for _ in range(max(1, service.minimum_replicas) - state.replicas(name)):
            if launch_near(step, service, place, cause, action="launch") is None:
                break
    left = tuple(name for name in pending.services if name not in launched)
    if not left:
        step.remove(entity_key(pending))
        step.report(entity_key(app), "launch_app", Cause(), state="done", decision_id=pending.decision_id)
    elif launched:
        step.put(replace(pending, services=left))


def _is_ready(step: Step, app: App, service: str) -> bool:
    """Whether all that it depends on and that comes no later in the app runs; else it waits."""
    orders = {each.service: each.launch_order for each in app.services}
    for name in step.state.dependencies.get(service, ()):
        other = step.state.services.get(name)
        if name == service or name not in orders or other is None or other.type == "database":
            continue
        if orders[name] > orders[service] or (orders[name] == orders[service] and name > service):
            # Of two that wait for each other, the order says which one comes first.
            continue
        if not any(each.state == "running" for each in step.state.containers_of(name)):
            return False
    return True
