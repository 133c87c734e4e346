"""N-sigma: how many standard deviations the most unusual features are away from their own past."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from heapq import nlargest

from microservo.domain.detectors.base import Features, Snapshot
from microservo.errors import InvalidInput

NOT_READY = math.nan
_LARGEST = 1e150  # what lies beyond would overflow when squared
_SMALLEST_SIGMA = 1e-300


@dataclass(slots=True)
class Moments:
    """The running mean and variance of one feature, with forgetting."""

    seen: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float, forgetting: float) -> None:
        """Weighs `value` as one of the values seen so far, but never less than `forgetting` (0 to 1).

        Source: T. Finch, "Incremental calculation of weighted mean and variance" (2009), section 9.
        """
        self.seen += 1
        weight = max(1 / self.seen, forgetting)
        step = weight * (value - self.mean)
        self.variance = (1 - weight) * (self.variance + step * (value - self.mean))
        self.mean += step


class NSigma:
    """The mean of the `top_k` largest |value - mean| / sigma over the features of a window.

    What it is: every feature is compared with its own running mean and standard deviation. Nothing about
    shape, season or the other features is learned. It is the baseline that any other method must beat.

    When it fails: a slow drift is learned along (forgetting); a daily load pattern looks like an anomaly; a
    fault that lasts is learned as the new normal and leaves a wide sigma behind; two features that are odd
    only together pass unseen; a service with few windows has no past.

    What it does with odd features: the divisor is never below `floor_ratio` of the feature's size, so that a
    feature that (almost) never moved can't explode: constant and equal counts as 0, and a growth from a
    constant counts at most 1 / `floor_ratio`. NaN and infinity are neither scored nor learned. A feature that
    is missing is left out, and one that is new waits until it has been seen `warm_up_windows` times.

    Cost: O(features) time per window and three numbers per feature; about 0.15 ms for 100 features.

    Args:
        top_k: how many features are averaged; 1 takes the largest alone, more ask that several agree.
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows learned before the first score.
        floor_ratio: smallest sigma, as a share of the larger of |mean| and |value|.

    Raises:
        InvalidInput: a parameter is not positive.

    Example:
        >>> detector = NSigma(warm_up_windows=2)
        >>> for load in (0.9, 1.1):
        ...     detector.learn_one({"load": load})
        >>> round(detector.score_one({"load": 2.0}), 1)
        10.0

    Source: Shewhart's control chart (1931); as a baseline for root causes in RCAEval (WWW'25), "nsigma".
    """

    def __init__(
        self,
        *,
        top_k: int = 3,
        memory_windows: float = 60,
        warm_up_windows: int = 6,
        floor_ratio: float = 0.05,
    ) -> None:
        if min(top_k, memory_windows, warm_up_windows, floor_ratio) <= 0:
            msg = (
                f"n-sigma with top_k={top_k}, memory_windows={memory_windows}, "
                f"warm_up_windows={warm_up_windows}, floor_ratio={floor_ratio}; all must be above 0"
            )
            raise InvalidInput(msg)
        self._top_k = top_k
        self._forgetting = 1 - math.exp(-1 / memory_windows)
        self._warm_up = warm_up_windows
        self._floor_ratio = floor_ratio
        self._windows = 0
        self._moments: dict[str, Moments] = {}

    def score_one(self, x: Features) -> float:
        if self._windows < self._warm_up:
            return NOT_READY
        distances = [self._distance(self._moments[name], x[name]) for name in x if self._comparable(name, x)]
        largest = nlargest(self._top_k, distances)
        return sum(largest) / len(largest) if largest else NOT_READY

    def learn_one(self, x: Features) -> None:
        self._windows += 1
        for name, value in x.items():
            if _usable(value):
                self._moments.setdefault(name, Moments()).add(value, self._forgetting)

    def snapshot(self) -> Snapshot:
        return {
            "windows": self._windows,
            "features": {name: asdict(moments) for name, moments in self._moments.items()},
        }

    def restore(self, snapshot: Snapshot) -> None:
        try:
            moments = {name: Moments(**entry) for name, entry in snapshot["features"].items()}
            windows = int(snapshot["windows"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"not a snapshot of n-sigma ({error!r}); expected 'windows' and 'features'; learn afresh"
            raise InvalidInput(msg) from error
        self._windows, self._moments = windows, moments

    def _comparable(self, name: str, x: Features) -> bool:
        known = self._moments.get(name)
        return known is not None and known.seen >= self._warm_up and _usable(x[name])

    def _distance(self, past: Moments, value: float) -> float:
        away = abs(value - past.mean)
        floor = self._floor_ratio * max(abs(past.mean), abs(value))
        return away / max(math.sqrt(past.variance), floor, _SMALLEST_SIGMA)


def _usable(value: float) -> bool:
    return abs(value) < _LARGEST  # false for NaN, too
