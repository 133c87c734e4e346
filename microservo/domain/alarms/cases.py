"""Cases: alarms of one algorithm at several services are one case while any of them is open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from microservo.domain.alarms.alarms import Alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What rankers and classifiers are asked about.

    Attributes:
        algorithm: the detector that gave the alarm.
        opened_us: when the first alarm opened, in microseconds of event time. Telemetry up to then is given.
        service: where.
    """

    algorithm: str
    opened_us: int
    service: str

    @property
    def case_id(self) -> str:
        """Its identity within a run."""
        return f"{self.algorithm}-{self.opened_us}"


class CaseKeeper:
    """The case of one algorithm, if one is open; alarms come in order of time, of one instant by service."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._services: set[str] = set()

    def restore(self, services: Iterable[str]) -> None:
        """Goes on with a case that is open while alarms at these services are."""
        self._services = set(services)

    def take(self, alarm: Alarm) -> Case | None:
        """The case that opens with an alarm; None where one is open already, or an alarm closes."""
        if alarm.closed_us is not None:
            self._services.discard(alarm.service)
            return None
        is_first = not self._services
        self._services.add(alarm.service)
        if not is_first:
            return None
        return Case(algorithm=self._algorithm, opened_us=alarm.opened_us, service=alarm.service)
