"""The control that knows nothing: now and then it moves, adds or stops a container, drawn by lot."""

from __future__ import annotations

from random import Random
from typing import Final

from microservo.domain.geography import Coordinates
from microservo.domain.manager.entities import Container, Service
from microservo.domain.manager.placing import launch_near
from microservo.domain.manager.service_decisions import (
    can_move,
    may_decide,
    replacement_of,
    replicate,
    stop_one,
)
from microservo.domain.manager.step import Cause, Step

EACH_US: Final = 1_200_000_000
"""On average a service is acted on once in so long, about as often as rules act in the judge's day."""
_ACTIONS: Final = ("migrate", "replicate", "stop")


class RandomPolicy:
    """Acts on services at random instants, towards the place of a host that is drawn by lot.

    It keeps the minimum and recovers as the rules do, so that what it loses to them is owed to where and when
    they act. It looks at no measurement, and leaves hosts alone.

    Args:
        seed: of all that it draws.
    """

    name = "random"
    keeps_minimum = True
    recovers = True

    def __init__(self, seed: int) -> None:
        self._lot = Random(seed)

    def place(self, step: Step, service: Service) -> Coordinates:
        """That of any host."""
        del service
        names = sorted(step.state.hosts)
        if not names:
            return Coordinates(step.state.settings.latitude, step.state.settings.longitude)
        host = step.state.hosts[self._lot.choice(names)]
        return Coordinates(host.latitude, host.longitude)

    def evaluate(self, step: Step) -> None:
        """Draws for each service whether it is acted on now."""
        state = step.state
        passed_us = min(step.now_us - state.evaluated_us, EACH_US) if state.evaluated_us else 0
        state.evaluated_us = step.now_us
        if not state.decides_for_services:
            return
        for name in sorted(state.by_service):
            service = state.services.get(name)
            if service is None or not service.is_governed or service.component:
                continue
            if self._lot.random() * EACH_US < passed_us:
                self._act(step, service)

    def _act(self, step: Step, service: Service) -> None:
        running = [each for each in step.state.containers_of(service.name) if each.state == "running"]
        able = [each for each in running if may_decide(step, each)]
        if not able:
            return
        action, container = self._lot.choice(_ACTIONS), self._lot.choice(able)
        cause = Cause(rule=self.name, reason="drawn by lot")
        if action == "migrate":
            self._move(step, service, container, cause)
        elif action == "replicate":
            replicate(step, service, self.place(step, service), cause)
        elif step.state.replicas(service.name) > 1:
            stop_one(step, service, container, cause)

    def _move(self, step: Step, service: Service, container: Container, cause: Cause) -> None:
        if can_move(step, container):
            like, target = replacement_of(container), self.place(step, service)
            launch_near(step, service, target, cause, action="migrate", excluded={container.host}, like=like)
