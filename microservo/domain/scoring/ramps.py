"""What lies beside stretches of anomalous windows, and when a falling threshold reaches it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microservo.domain.scoring.series import Flags, Float64, Int64, Runs


@dataclass(frozen=True, slots=True)
class Beside:
    """Normal windows near stretches, the nearest first; shape (windows near,) each.

    Attributes:
        place: of the window.
        stretch: the number of the nearest stretch.
        nearest: how many windows away it is.
        second: how many the one after it is.
    """

    place: Int64
    stretch: Int64
    nearest: Int64
    second: Int64

    def weights(self, buffer: int) -> Float64:
        """What windows on ramps are worth with a buffer, those within reach, in this order."""
        count = int(self.nearest.searchsorted(buffer // 2, "right"))
        # Two ramps together weigh more than 1 everywhere, and 1 is the most.
        is_between = self.second[:count] <= buffer // 2
        return np.where(is_between, 1, np.sqrt(1 - self.nearest[:count] / max(buffer, 1)))


@dataclass(frozen=True, slots=True)
class Joined:
    """Stretches with their ramps, those that meet taken as one.

    Attributes:
        first: place of the first window, shape (groups,).
        behind: one behind the last.
        leader: number of the first stretch of each group.
    """

    first: Int64
    behind: Int64
    leader: Int64

    def lowest(self, padded: Int64) -> Int64:
        """The lowest of some values of windows in each group.

        Args:
            padded: shape (windows + 1,), the last one beyond all.
        """
        edges = np.column_stack((self.first, self.behind)).ravel()
        return np.asarray(np.minimum.reduceat(padded, edges)[::2])


def steps(score: Float64, thresholds: int) -> Int64:
    """The first of falling thresholds at which each window is flagged, shape (windows,).

    Args:
        score: shape (windows,), at least one.
        thresholds: how many, at equal distances in the ranking from the highest score to the lowest.
    """
    descending = -np.sort(-score)
    negated = -descending[np.linspace(0, len(score) - 1, thresholds).astype(np.int64)]
    return negated.searchsorted(-score, "left")


def joined(stretches: Runs, bounds: Int64, reach: int) -> Joined:
    """Stretches lengthened by a reach on both sides, within their service."""
    service = bounds.searchsorted(stretches.first, "right")
    is_apart = stretches.behind[:-1] - 1 + reach < stretches.first[1:] - reach
    is_apart |= service[1:] > service[:-1]
    leads = np.append(True, is_apart)
    first = np.maximum(stretches.first - reach, bounds[service - 1])[leads]
    behind = np.minimum(stretches.behind + reach, bounds[service])[np.append(is_apart, True)]
    return Joined(first, behind, leads.nonzero()[0])


def beside(stretches: Runs, bounds: Int64, is_anomalous: Flags, reach: int) -> Beside:
    """Normal windows within reach of a stretch of their service."""
    far = len(is_anomalous) + reach + 1
    place = (~is_anomalous).nonzero()[0]
    service = bounds.searchsorted(place, "right")
    # Two stretches of nobody on each side, so that each window has two before it and two behind it.
    owner = np.concatenate(([-1, -1], bounds.searchsorted(stretches.first, "right"), [-1, -1]))
    ends = np.concatenate(([0, 0], stretches.behind - 1, [0, 0]))
    begins = np.concatenate(([0, 0], stretches.first, [0, 0]))
    last = stretches.first.searchsorted(place, "right") + 1
    neighbours = ((last, ends), (last - 1, ends), (last + 1, begins), (last + 2, begins))
    distances = np.stack(
        [np.where(owner[which] == service, np.abs(place - edge[which]), far) for which, edge in neighbours]
    )
    near = distances.argsort(axis=0, kind="stable")
    nearest, second = np.take_along_axis(distances, near[:2], axis=0)
    # The four neighbours are numbered from the last but one before to the second behind.
    stretch = last - 2 + np.array([0, -1, 1, 2])[near[0]]
    order = nearest.argsort(kind="stable")
    order = order[nearest[order] <= reach]
    return Beside(place[order], stretch[order], nearest[order], second[order])
