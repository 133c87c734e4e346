"""Windows of all services side by side: what is known of a whole system at an instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.records import FeatureWindow

SYSTEM = "system"
"""Stands for the service where one object scores all of them together."""

Row = Mapping[str, FeatureWindow]
"""The windows of one instant, by service."""
SETTLES_WINDOWS = 8
"""From its first window on a service is in no row for as long: nobody waits for one that is not known yet."""


@dataclass(frozen=True, slots=True)
class _Service:
    """How the windows of a service come in a partition.

    Attributes:
        since_us: start of the first.
        start_us: of the newest.
        step_us: from the one before to it: some services only have one now and then.
        lag_us: how far it came behind the newest of all: some send late.
        due_us: start of the next one, at the latest, by the last two steps.
        until_us: the next one is waited for while none that begins later has come, by the last two lags.
    """

    since_us: int
    start_us: int
    step_us: int
    lag_us: int
    due_us: int
    until_us: int

    def after(self, start_us: int, lag_us: int) -> _Service:
        """The same with one window more."""
        step_us = start_us - self.start_us
        due_us = start_us + max(step_us, self.step_us)
        return _Service(self.since_us, start_us, step_us, lag_us, due_us, due_us + max(lag_us, self.lag_us))


@dataclass(slots=True)
class _Partition:
    """How far the windows of one partition have come; all of it follows from their order there alone.

    Attributes:
        front_us: start of the newest window.
        complete_us: windows that end by then are all there; what comes later comes too late.
    """

    front_us: int = 0
    complete_us: int = 0
    services: dict[str, _Service] = field(default_factory=dict)

    def add(self, window: FeatureWindow) -> bool:
        """Takes a window; whether it was waited for, and came in time."""
        start_us, size_us = window.start_us, window.end_us - window.start_us
        self.front_us = max(self.front_us, start_us)
        lag_us = self.front_us - start_us
        known = self.services.get(window.service)
        if known is None:
            known = _Service(start_us, start_us - size_us, size_us, lag_us, start_us, start_us)
        is_settled = start_us - known.since_us >= SETTLES_WINDOWS * size_us
        counts = is_settled and start_us <= known.due_us and window.end_us > self.complete_us
        self.services[window.service] = known.after(start_us, lag_us)
        # The one that has just come is among them.
        awaited_us = min(each.due_us for each in self.services.values() if each.until_us >= self.front_us)
        self.complete_us = max(self.complete_us, awaited_us)
        return counts


class SystemRows:
    """Gathers the first revisions of one run's windows, and says up to when those of all services are there.

    Every known service has windows until it is declared gone, so one whose window is missing is waited for
    until its partition has gone on without it, by as much as it lagged before. A window that nobody waits for
    is in no row: the first ones of a service, the first behind a gap, and what comes too late. So rows follow
    from the order of each partition, and not from how partitions are read or how many windows at a time; a
    partition with a service that nobody knew must not lie `SETTLES_WINDOWS` behind others then, so windows
    that lie on the log already are read in one order of time over all partitions.

    A partition is waited for as long as what it holds back is kept. Where it is further behind, its services
    are gone, or its windows come too late for any row; what waited for it is given without.

    Args:
        keep_us: windows that begin longer ago than this, from the newest, are forgotten.
    """

    def __init__(self, keep_us: int) -> None:
        self._keep_us = keep_us
        self._partitions: dict[int, _Partition] = {}
        self._rows: dict[int, dict[str, FeatureWindow]] = {}
        self._newest_us: dict[str, int] = {}
        self._front_us = 0

    def add(self, window: FeatureWindow, partition: int) -> bool:
        """Takes a window; whether it is new: the log repeats some after a restart upstream."""
        if window.start_us <= self._newest_us.get(window.service, -1):
            return False
        self._newest_us[window.service] = window.start_us
        if window.start_us > self._front_us:
            self._front_us = window.start_us
            self._forget()
        if self._partitions.setdefault(partition, _Partition()).add(window):
            self._rows.setdefault(window.start_us, {})[window.service] = window
        return True

    @property
    def complete_us(self) -> int:
        """Windows that end by then are there, of all services; 0 before the first."""
        return min(
            (
                place.complete_us
                for place in self._partitions.values()
                if place.front_us >= self._front_us - self._keep_us
            ),
            default=0,
        )

    def rows(self, from_us: int, until_us: int) -> list[tuple[int, Row]]:
        """The instants from one to another, by when their windows begin; they end by `until_us`."""
        return [
            (start_us, row)
            for start_us, row in sorted(self._rows.items())
            if start_us >= from_us and all(window.end_us <= until_us for window in row.values())
        ]

    def snapshot(self) -> dict[str, Any]:
        """How far the windows have come, as plain values; the windows themselves are not in it."""
        return {
            "partitions": [[index, asdict(place)] for index, place in sorted(self._partitions.items())],
            "newest_us": dict(self._newest_us),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot; windows from before it are not there any more."""
        self._partitions = {
            index: _Partition(
                place["front_us"],
                place["complete_us"],
                {name: _Service(**each) for name, each in place["services"].items()},
            )
            for index, place in snapshot["partitions"]
        }
        self._newest_us = dict(snapshot["newest_us"])
        self._front_us = max(self._newest_us.values(), default=0)
        self._rows = {}

    def _forget(self) -> None:
        forgotten_us = self._front_us - self._keep_us
        for start_us in [each for each in self._rows if each < forgotten_us]:
            del self._rows[start_us]
