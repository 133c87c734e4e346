"""Alarms: from when scores are above the threshold, one or some in a row, until two in a row are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from microservo.domain.alarms.runs import LENGTHS, QUIET_WINDOWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm of an algorithm at a service; instants in microseconds of event time.

    Attributes:
        opened_us: end of the window that made it one: nobody knew of it before.
        closed_us: end of the window that closed it; None while it is open.
        score: of the window that opened it.
        threshold: that it exceeded, as did those just before if several in a row had to.
        peak: the largest score so far.
    """

    service: str
    opened_us: int
    closed_us: int | None = None
    score: float
    threshold: float
    peak: float


class AlarmKeeper:
    """The open alarms of one algorithm; windows of a service come in order of time."""

    def __init__(self) -> None:
        self._open: dict[str, Alarm] = {}
        self._quiet: dict[str, int] = {}
        self._recent: dict[str, list[float]] = {}

    @property
    def open_services(self) -> frozenset[str]:
        """Services at which an alarm is open."""
        return frozenset(self._open)

    def snapshot(self) -> dict[str, Any]:
        """The open alarms and the newest scores, as plain values."""
        found = [
            {**asdict(alarm), "quiet": self._quiet[service]} for service, alarm in sorted(self._open.items())
        ]
        return {"open": found, "recent": dict(self._recent)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot."""
        found = [dict(entry) for entry in snapshot["open"]]
        self._quiet = {entry["service"]: entry.pop("quiet") for entry in found}
        self._open = {entry["service"]: Alarm(**entry) for entry in found}
        self._recent = {service: list(scores) for service, scores in snapshot["recent"].items()}

    def judge(self, service: str, end_us: int, score: float, levels: Sequence[float]) -> Alarm | None:
        """What changes with the score of a window: an alarm that opens, or one that closes.

        A score that is NaN changes nothing: the algorithm doesn't know.

        Args:
            service: where.
            end_us: of the window.
            score: of the window.
            levels: what so many in a row as `LENGTHS` says have to exceed; one alone where it has one level.
        """
        if math.isnan(score):
            return None
        recent = self._recent[service] = [*self._recent.get(service, ()), score][-LENGTHS[len(levels) - 1] :]
        alarm = self._open.get(service)
        if alarm is not None:
            return self._go_on(alarm, end_us, score, min(levels))
        for length, level in zip(LENGTHS, levels, strict=False):
            if len(recent) >= length and min(recent[-length:]) > level:
                return self._begin(service, end_us, score, level)
        return None

    def _begin(self, service: str, end_us: int, score: float, level: float) -> Alarm:
        alarm = Alarm(service=service, opened_us=end_us, score=score, threshold=level, peak=score)
        self._open[service], self._quiet[service] = alarm, 0
        return alarm

    def _go_on(self, alarm: Alarm, end_us: int, score: float, lowest: float) -> Alarm | None:
        service = alarm.service
        if score > lowest:
            self._quiet[service] = 0
            self._open[service] = replace(alarm, peak=max(alarm.peak, score))
            return None
        self._quiet[service] += 1
        if self._quiet[service] < QUIET_WINDOWS:
            return None
        return replace(self._open.pop(service), closed_us=end_us)
