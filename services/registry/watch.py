"""Looking after instances: who has fallen silent, whose process has ended, what health URLs say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psutil

from microservo.domain.registry.instances import Condition
from microservo.errors import InvalidInput
from microservo.runtime.looking import Looking, Questions
from microservo.runtime.probe import Health, health_of
from schemas.records import Registration
from services.registry.registry import Registry

logger = logging.getLogger(__name__)

LOOK_S = 0.2
ASK_S = 1.0
MOST_SILENCE = 3
"""Questions without an answer, one after the other, after which an instance is gone."""
_ASKING = 16
_STARTED_LATER_S = 1.0
"""By how much the clocks may differ by which a process and its registration are dated."""


def is_running(record: Registration) -> bool:
    """Whether the process of a registration runs, and is not a later one of the same number."""
    try:
        process = psutil.Process(record.pid)
        started_s = process.create_time()
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and started_s <= record.registered_at_us / 1e6 + _STARTED_LATER_S
        )
    except psutil.NoSuchProcess:
        return False


class Watch:
    """Looks after the instances of a registry, from a thread of its own until it is closed.

    It waits for nobody, so that an instance which ends is gone whatever becomes of the broker.

    Args:
        registry: whose instances they are.
        monotonic_s: seconds of a clock that only runs forward.
    """

    def __init__(self, registry: Registry, *, monotonic_s: Callable[[], float]) -> None:
        self._registry = registry
        self._questions: Questions[tuple[str, str], Health] = Questions(
            lambda asked: health_of(asked[1]), ASK_S, at_once=_ASKING, monotonic_s=monotonic_s
        )
        self._silent: dict[str, int] = {}
        self._looking = Looking(self.look, LOOK_S, name="the watched instances")

    def close(self) -> None:
        """Ends the watch."""
        self._looking.close()
        self._questions.close()

    def look(self) -> None:
        """Looks once at all of them."""
        for key in self._registry.advance():
            logger.info("%s is gone: it is silent", key)
        watched = {record.registration_id: record for record in self._registry.watched()}
        self._silent = {key: self._silent.get(key, 0) for key in watched}
        asked = []
        for key, record in watched.items():
            if record.pid is not None and not is_running(record):
                self._remove(record, f"process {record.pid} has ended")
            elif record.health_url:
                asked.append((key, record.health_url))
        for (key, _), health in self._questions.answers(asked):
            self._heed(key, watched[key], health)

    def _heed(self, key: str, record: Registration, health: Health) -> None:
        self._silent[key] = self._silent[key] + 1 if health == "no answer" else 0
        if self._silent[key] >= MOST_SILENCE:
            self._remove(record, f"{record.health_url} did not answer {MOST_SILENCE} times")
        elif (health == "healthy") != record.healthy:
            self._tell(record, healthy=health == "healthy")

    def _tell(self, record: Registration, *, healthy: bool) -> None:
        try:
            self._registry.change(record.service, record.instance, Condition(healthy=healthy))
        except InvalidInput as error:
            # It was deregistered, or moved, since it was looked at.
            logger.info("health is not entered: %s", error)

    def _remove(self, record: Registration, reason: str) -> None:
        try:
            self._registry.remove(record.service, record.instance)
        except InvalidInput as error:
            logger.info("%s, but: %s", reason, error)
        else:
            logger.info("%s is gone: %s", record.registration_id, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
