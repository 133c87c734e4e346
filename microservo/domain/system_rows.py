"""Windows of all services side by side: what is known of a whole system at an instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.records import FeatureWindow

SYSTEM = "system"
"""Stands for the service where one object scores all of them together."""

Row = Mapping[str, FeatureWindow]
"""The windows of one instant, by service."""


@dataclass(slots=True)
class _Partition:
    """How far the windows of one partition have come; those of an instant follow one another there."""

    newest_us: int
    end_us: int
    here: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)

    def add(self, window: FeatureWindow) -> None:
        if window.start_us > self.newest_us:
            is_next = window.start_us == self.end_us
            self.before = self.here if is_next else set()
            self.here = set()
            self.newest_us, self.end_us = window.start_us, window.end_us
        self.here.add(window.service)

    @property
    def complete_us(self) -> int:
        """Windows that end by then are all there: of the newest instant, once all of the last have come."""
        return self.end_us if self.before and self.before <= self.here else self.newest_us


class SystemRows:
    """Gathers the first revisions of one run's windows, and says up to when those of all services are there.

    Every known service has windows until it is declared gone, so one whose window is missing is waited for
    until its partition has gone on without it. The windows of a service that nobody knew before count from
    the instant that they come; a partition must not lie a window behind others then.

    Args:
        keep_us: windows that begin longer ago than this, from the newest, are forgotten.
    """

    def __init__(self, keep_us: int) -> None:
        self._keep_us = keep_us
        self._partitions: dict[int, _Partition] = {}
        self._rows: dict[int, dict[str, FeatureWindow]] = {}
        self._newest_us: dict[str, int] = {}

    def add(self, window: FeatureWindow, partition: int) -> bool:
        """Takes a window; whether it is new: the log repeats some after a restart upstream."""
        if window.start_us <= self._newest_us.get(window.service, -1):
            return False
        self._newest_us[window.service] = window.start_us
        self._rows.setdefault(window.start_us, {})[window.service] = window
        place = self._partitions.setdefault(partition, _Partition(window.start_us, window.end_us))
        if window.start_us >= place.newest_us:
            place.add(window)
        self._forget()
        return True

    @property
    def complete_us(self) -> int:
        """Windows that end by then are there, of all services; 0 before the first."""
        return min((place.complete_us for place in self._partitions.values()), default=0)

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
            "partitions": [
                [index, place.newest_us, place.end_us, sorted(place.here), sorted(place.before)]
                for index, place in sorted(self._partitions.items())
            ],
            "newest_us": dict(self._newest_us),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot; windows from before it are not there any more."""
        self._partitions = {
            index: _Partition(newest_us, end_us, set(here), set(before))
            for index, newest_us, end_us, here, before in snapshot["partitions"]
        }
        self._newest_us = dict(snapshot["newest_us"])
        self._rows = {}

    def _forget(self) -> None:
        newest_us = max((place.newest_us for place in self._partitions.values()), default=0)
        forgotten_us = newest_us - self._keep_us
        for start_us in [each for each in self._rows if each < forgotten_us]:
            del self._rows[start_us]
