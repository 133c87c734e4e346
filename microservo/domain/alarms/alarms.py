"""Alarms: from the window whose score is above the threshold until two in a row are not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

QUIET_WINDOWS = 2
"""So many windows at or below the threshold close an alarm: one of them may be chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm of an algorithm at a service; instants in microseconds of event time.

    Attributes:
        opened_us: end of the first window above the threshold: nobody knew of it before.
        closed_us: end of the window that closed it; None while it is open.
        score: of the window that opened it.
        threshold: that was in force then.
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

    @property
    def open_services(self) -> frozenset[str]:
        """Services at which an alarm is open."""
        return frozenset(self._open)

    def snapshot(self) -> list[dict[str, Any]]:
        """The open alarms, as plain values."""
        return [
            {**asdict(alarm), "quiet": self._quiet[service]} for service, alarm in sorted(self._open.items())
        ]

    def restore(self, snapshot: Iterable[Mapping[str, Any]]) -> None:
        """Goes on from the alarms of a snapshot."""
        found = [dict(entry) for entry in snapshot]
        self._quiet = {entry["service"]: entry.pop("quiet") for entry in found}
        self._open = {entry["service"]: Alarm(**entry) for entry in found}

    def judge(self, service: str, end_us: int, score: float, threshold: float) -> Alarm | None:
        """What changes with the score of a window: an alarm that opens, or one that closes.

        A score that is NaN changes nothing: the algorithm doesn't know.
        """
        if math.isnan(score):
            return None
        if score > threshold:
            return self._above(service, end_us, score, threshold)
        return self._below(service, end_us)

    def _above(self, service: str, end_us: int, score: float, threshold: float) -> Alarm | None:
        self._quiet[service] = 0
        alarm = self._open.get(service)
        if alarm is not None:
            self._open[service] = replace(alarm, peak=max(alarm.peak, score))
            return None
        alarm = Alarm(service=service, opened_us=end_us, score=score, threshold=threshold, peak=score)
        self._open[service] = alarm
        return alarm

    def _below(self, service: str, end_us: int) -> Alarm | None:
        if service not in self._open:
            return None
        self._quiet[service] += 1
        if self._quiet[service] < QUIET_WINDOWS:
            return None
        return replace(self._open.pop(service), closed_us=end_us)
