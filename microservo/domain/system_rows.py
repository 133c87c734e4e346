"""Windows of all services side by side: what is known of a whole system at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.records import FeatureWindow, GoneService

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
    partition with a service that nobody knew must not lie `SETTLES_WINDOWS` behind others then, which
    `microservo.log.window_order` sees to, as far as its windows are on the log.

    A partition is waited for until all its services are declared gone, and all windows up to then are there.
    Of one that says nothing though nobody declared so, the log does not tell whether windows will come: what
    makes them may be down. It is waited for as long as what it holds back is kept; what waited is given
    without it then, for its windows would come too late for any row.

    Args:
        keep_us: windows that begin longer ago than this, from the newest, are forgotten.
    """

    def __init__(self, keep_us: int) -> None:
        self._keep_us = keep_us
        self._partitions: dict[int, _Partition] = {}
        self._rows: dict[int, dict[str, FeatureWindow]] = {}
        self._newest_us: dict[str, int] = {}
        self._front_us = 0
        self._size_us = 0
        self._gone_us: Mapping[str, int] = {}

    def declare_gone(self, gone: Iterable[GoneService]) -> None:
        """Takes all services that are declared gone; one that comes again is waited for again."""
        self._gone_us = {each.service: each.at_us for each in gone}

    def add(self, window: FeatureWindow, partition: int) -> bool:
        """Takes a window; whether it is new: the log repeats some after a restart upstream."""
        if window.start_us <= self._newest_us.get(window.service, -1):
            return False
        self._newest_us[window.service] = window.start_us
        self._size_us = window.end_us - window.start_us
        if window.start_us > self._front_us:
            self._front_us = window.start_us
            self._forget()
        if self._partitions.setdefault(partition, _Partition()).add(window):
            self._rows.setdefault(window.start_us, {})[window.service] = window
        return True

    @property
    def complete_us(self) -> int:
        """Windows that end by then are there, of all services; 0 before the first."""
        places = self._partitions.values()
        kept = [place for place in places if place.front_us >= self._front_us - self._keep_us]
        # Where nobody is left, nothing more comes, and what is there stays as complete as it was.
        awaited = [place for place in kept if not self._is_gone(place)] or kept
        return min((place.complete_us for place in awaited), default=0)

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

    def _is_gone(self, place: _Partition) -> bool:
        """Whether no service of a partition has a window to come that ends before it was declared gone."""
        return all(
            (gone_us := self._gone_us.get(name)) is not None
            and known.start_us <= gone_us < known.due_us + self._size_us
            for name, known in place.services.items()
        )

    def _forget(self) -> None:
        forgotten_us = self._front_us - self._keep_us
        for start_us in [each for each in self._rows if each < forgotten_us]:
            del self._rows[start_us]
