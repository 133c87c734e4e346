"""What is judged of a detector: its windows, and the incidents that it should have found with its alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from microservo.domain.scoring.cases import Alarm, Incident
from microservo.domain.scoring.false_alarms import FaultFree, false_alarms, fault_free
from microservo.domain.scoring.point import Confusion, confusion
from microservo.domain.scoring.series import (
    Flags,
    Float64,
    Int64,
    Judged,
    Series,
    judged,
    with_scores,
)


@dataclass(frozen=True, slots=True)
class Places:
    """The windows of each incident, `first:behind`, shape (incidents,); none where both are equal."""

    first: Int64
    behind: Int64


@dataclass(frozen=True, slots=True)
class Found:
    """What became of each incident, shape (incidents,).

    Attributes:
        counts: whether it has an anomalous window at all; one whose windows are all masked counts for nobody.
        is_found: whether an alarm was open in one of them.
        known_us: when the first of these alarms was known; 0 where it was not found.
    """

    counts: Flags
    is_found: Flags
    known_us: Int64


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What is true, the same for all detectors of a run: it is worked out once for all of them.

    Attributes:
        windows: of all services; what a detector said of them is not looked at.
        incidents: by service, start and fault, those at services without windows first.
    """

    windows: Judged
    incidents: tuple[Incident, ...]

    @cached_property
    def fault_free(self) -> FaultFree:
        """The windows in which an alarm is false."""
        return fault_free(self.windows)

    @cached_property
    def service(self) -> Int64:
        """The place of each incident's service among the services; -1 where no window is of it."""
        place = {name: index for index, name in enumerate(self.windows.services)}
        return np.array([place.get(each.service, -1) for each in self.incidents], np.int64)

    @cached_property
    def places(self) -> Places:
        """Which windows overlap each incident."""
        first, behind = np.zeros(len(self.incidents), np.int64), np.zeros(len(self.incidents), np.int64)
        start_us = np.array([each.start_us for each in self.incidents], np.int64)
        end_us = np.array([each.end_us for each in self.incidents], np.int64)
        # Incidents lie by service, as windows do.
        edges = self.service.searchsorted(np.arange(len(self.windows.services) + 1)).tolist()
        bounds = self.windows.bounds.tolist()
        for place, low in enumerate(bounds[:-1]):
            rows, own = slice(edges[place], edges[place + 1]), slice(low, bounds[place + 1])
            first[rows] = low + self.windows.end_us[own].searchsorted(start_us[rows], "right")
            behind[rows] = low + self.windows.start_us[own].searchsorted(end_us[rows], "left")
        return Places(first, np.maximum(first, behind))

    @cached_property
    def counts(self) -> Flags:
        """Whether each incident has an anomalous window at all."""
        anomalous = np.concatenate(([0], self.windows.is_anomalous.cumsum()))
        return np.asarray(anomalous[self.places.behind] > anomalous[self.places.first])


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One detector's windows with incidents and alarms, in one order whatever the order they came in.

    Attributes:
        ground: what is true.
        windows: of all services.
        alarms: by service and start.
    """

    ground: Ground
    windows: Judged
    alarms: tuple[Alarm, ...]

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """As of `Ground`."""
        return self.ground.incidents

    @property
    def fault_free(self) -> FaultFree:
        """As of `Ground`."""
        return self.ground.fault_free

    @property
    def service(self) -> Int64:
        """As of `Ground`."""
        return self.ground.service

    @property
    def places(self) -> Places:
        """As of `Ground`."""
        return self.ground.places

    @cached_property
    def confusion(self) -> Confusion:
        """Counts of windows."""
        return confusion(self.windows)

    @cached_property
    def false_alarms(self) -> Int64:
        """Five-minute buckets with a false alarm, shape (1 + services,): of all services first."""
        return false_alarms(self.windows, self.fault_free)

    @cached_property
    def found(self) -> Found:
        """Which incidents were found, and when that was known."""
        counts = self.ground.counts
        hits = (self.windows.is_flagged & self.windows.is_anomalous).nonzero()[0]
        hits = np.append(hits, len(self.windows))
        first_hit = hits[hits.searchsorted(self.places.first, "left")]
        is_found = counts & (first_hit < self.places.behind)
        known_us = np.zeros(len(self.incidents), np.int64)
        known_us[is_found] = self._known_us(first_hit[is_found], self.service[is_found])
        return Found(counts, is_found, known_us)

    def counted(self, rows: Flags) -> Int64:
        """How many of some incidents there are, shape (1 + services,): at all services first."""
        at = np.bincount(self.service[rows & (self.service >= 0)], minlength=len(self.windows.services))
        return np.concatenate(([at.sum()], at))

    def of_incidents(self, rows: Flags) -> Detection:
        """As if only some incidents had been: anomalous windows that none of them overlaps are left out."""
        edges = np.zeros(len(self.windows) + 1, np.int64)
        np.add.at(edges, self.places.first[rows], 1)
        np.add.at(edges, self.places.behind[rows], -1)
        inside = edges.cumsum()[:-1] > 0
        kept = tuple(each for each, stays in zip(self.incidents, rows.tolist(), strict=True) if stays)
        windows = self.windows.only(inside | ~self.windows.is_anomalous)
        ground = Ground(windows=windows, incidents=kept)
        return Detection(ground=ground, windows=windows, alarms=self.alarms)

    def of_service(self, place: int) -> Detection:
        """What is of one service, by its place."""
        name, windows = self.windows.services[place], self.windows.of_service(place)
        incidents = tuple(each for each in self.incidents if each.service == name)
        return Detection(
            ground=Ground(windows=windows, incidents=incidents),
            windows=windows,
            alarms=tuple(each for each in self.alarms if each.service == name),
        )

    def _known_us(self, window: Int64, service: Int64) -> list[int]:
        """When the alarm that is open in a window was known; the window's end where no alarm is."""
        by_service: dict[str, list[Alarm]] = {}
        for each in self.alarms:
            by_service.setdefault(each.service, []).append(each)
        return [
            _known_at(by_service.get(self.windows.services[at], []), start_us, end_us)
            for at, start_us, end_us in zip(
                service.tolist(),
                self.windows.start_us[window].tolist(),
                self.windows.end_us[window].tolist(),
                strict=True,
            )
        ]


def detection_of(
    series: Sequence[Series], incidents: Sequence[Incident] = (), alarms: Sequence[Alarm] = ()
) -> Detection:
    """Puts together what is judged of one detector.

    Raises:
        InvalidInput: a window comes twice.
    """
    windows = judged(series)
    ground = ground_of(windows, incidents)
    return Detection(ground=ground, windows=windows, alarms=_in_order(alarms))


def ground_of(windows: Judged, incidents: Sequence[Incident]) -> Ground:
    """What is true of these windows, and what should have been found in them."""
    # What is at services without windows comes first, so that the others lie as the windows do.
    ordered = sorted(
        incidents,
        key=lambda each: (each.service in windows.services, each.service, each.start_us, each.fault_id),
    )
    return Ground(windows=windows, incidents=tuple(ordered))


def detection_on(ground: Ground, score: Float64, is_flagged: Flags, alarms: Sequence[Alarm]) -> Detection:
    """What is judged of one of several detectors.

    Args:
        ground: what is true for all of them.
        score: of its windows, shape (windows,) each; NaN where it was not ready.
        is_flagged: whether an alarm was open.
        alarms: what it raised.
    """
    windows = with_scores(ground.windows, score, is_flagged)
    return Detection(ground=ground, windows=windows, alarms=_in_order(alarms))


def _in_order(alarms: Sequence[Alarm]) -> tuple[Alarm, ...]:
    return tuple(sorted(alarms, key=lambda each: (each.service, each.start_us, each.known_us)))


def _known_at(alarms: Sequence[Alarm], start_us: int, end_us: int) -> int:
    for alarm in alarms:
        if alarm.start_us < end_us and (alarm.end_us is None or alarm.end_us > start_us):
            return alarm.known_us
    return end_us
