"""Repair at the start: whatever is in force on the target and belongs to no open fault is removed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.platform import Platform
from services.fault_injector.actions import Action, Outcome, Workers

logger = logging.getLogger(__name__)

_EFFORTS = 20
_PAUSE_US = 1_000_000


class Strangers:
    """Asks every instance through every mechanism until it has answered, within bounds."""

    def __init__(
        self,
        *,
        target: Platform,
        mechanisms: Collection[str],
        workers: Workers,
        clock: Callable[[], int],
    ) -> None:
        self._target = target
        # Processes first: one that is paused can't answer the others.
        self._mechanisms = sorted(mechanisms, key=lambda name: name != "process")
        self._workers = workers
        self._clock = clock
        self._efforts: dict[tuple[str, str], int] = {}
        self._again: list[tuple[int, Action]] = []

    def release(self) -> None:
        """Begins; without a target there is nothing to repair."""
        try:
            instances = self._target.instances()
        except (Unavailable, InvalidInput):
            return
        for mechanism in self._mechanisms:
            for instance in instances:
                self._workers.submit(Action(verb="release", instance=instance.id, mechanism=mechanism))

    def take(self, outcome: Outcome) -> None:
        """Takes in an answer; an instance that gave none is asked again later."""
        action = outcome.action
        if outcome.released:
            names = ", ".join(outcome.released)
            logger.warning("removed from %s what no fault owns: %s", action.instance, names)
        if outcome.error is None:
            return
        key = (action.mechanism, action.instance)
        effort = self._efforts[key] = self._efforts.get(key, 0) + 1
        if effort < _EFFORTS:
            self._again.append((self._clock() + _PAUSE_US, action))
        else:
            logger.warning("%s gives no answer, so it stays as it is: %s", action.instance, outcome.error)

    def do_due(self) -> None:
        """Asks those again whose pause is over."""
        now_us = self._clock()
        due = [action for at_us, action in self._again if at_us <= now_us]
        self._again = [(at_us, action) for at_us, action in self._again if at_us > now_us]
        for action in due:
            self._workers.submit(action)
