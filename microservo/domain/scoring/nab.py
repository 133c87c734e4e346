"""The score of the Numenta Anomaly Benchmark, in three profiles, at the alarms and at the best threshold.

The first flagged window of an anomalous stretch earns up to 1, the more the earlier it is; a stretch
without one costs as much as a miss is worth; each flagged normal window costs up to what a false alarm is
worth, less right behind a stretch. The first 15 % of each service, at most 750 windows, are probation and
count for nothing. 100 is the perfect detector, 0 is one that never says anything, and there is no lower
end.

- Higher is better. At a fixed threshold who always raises an alarm is far below 0, and who never does gets
  0.
- At the threshold that is best in hindsight, as on the published board, chance gets 11 to 17 on its corpus:
  that one flatters, and is here to be compared with published numbers.
- NaN without stretches.
- Source: Lavin and Ahmad, Evaluating Real-Time Anomaly Detection Algorithms, 2015; numenta/NAB,
  `sweeper.py` and `config/profiles.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, nan
from types import MappingProxyType

import numpy as np

from microservo.domain.scoring.series import Flags, Float64, Int64, Judged

_PROBATION_SHARE = 0.15
_MOST_PROBATION = 750
_STEEPNESS = 5.0
_FAR_BEHIND = 3.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a false alarm and a miss cost, where a hit is worth 1."""

    false_alarm: float
    miss: float


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "standard": Profile(0.11, 1.0),
        "low_fp": Profile(0.22, 1.0),
        "low_fn": Profile(0.11, 2.0),
    }
)
"""The profiles of the benchmark; `low_fp` rewards a low rate of false positives, `low_fn` of misses."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best score over all thresholds, and that threshold: what scores at least as much is flagged."""

    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class _Worth:
    """What each window after probation is worth when it is flagged; shape (windows,).

    Attributes:
        place: of the window.
        stretch: number of its anomalous stretch, -1 where it is normal.
        value: a share of a hit, or, negative, of a false alarm.
        stretches: how many are not wholly in probation.
    """

    place: Int64
    stretch: Int64
    value: Float64
    stretches: int


def nab_metrics(windows: Judged) -> Mapping[str, float]:
    """All profiles, pooled over services, at the alarms that were raised."""
    worth = _worth(windows)
    flagged = windows.is_flagged[worth.place]
    return {f"nab_{name}": _at_alarms(worth, flagged, profile) for name, profile in PROFILES.items()}


def best_nab(windows: Judged, profile: Profile) -> Best:
    """The score at the threshold that is best in hindsight, pooled over services."""
    worth = _worth(windows)
    if not worth.stretches:
        return Best(nan, nan)
    score = windows.score[worth.place]
    order = (-score).argsort(kind="stable")
    gain = np.where(worth.stretch < 0, profile.false_alarm * worth.value, 0)[order]
    for each in range(int(worth.stretch.max()) + 1):
        at = (worth.stretch[order] == each).nonzero()[0]
        reached = np.maximum.accumulate(np.append(-profile.miss, worth.value[order[at]]))
        gain[at] = np.diff(reached)
    total = np.append(0, gain.cumsum())
    # Windows with one score are flagged together.
    ends = np.append((np.diff(score[order]) != 0).nonzero()[0] + 1, len(order))
    best = int(total[ends].argmax())
    threshold = float(score[order[ends[best] - 1]])
    if total[ends[best]] <= 0:
        return Best(0.0, np.inf)
    lost = profile.miss * worth.stretches
    return Best(100 * float(total[ends[best]]) / (worth.stretches + lost), threshold)


def _at_alarms(worth: _Worth, flagged: Flags, profile: Profile) -> float:
    if not worth.stretches:
        return nan
    earned = np.full(int(worth.stretch.max()) + 1, -profile.miss)
    hits = flagged & (worth.stretch >= 0)
    np.maximum.at(earned, worth.stretch[hits], worth.value[hits])
    counted = earned[np.unique(worth.stretch[worth.stretch >= 0])]
    paid = profile.false_alarm * worth.value[flagged & (worth.stretch < 0)]
    lost = profile.miss * worth.stretches
    return 100 * (fsum([*counted.tolist(), *paid.tolist()]) + lost) / (worth.stretches + lost)


def _worth(windows: Judged) -> _Worth:
    count = np.diff(windows.bounds)
    begins = np.repeat(windows.bounds[:-1], count)
    probation = np.minimum(np.floor(_PROBATION_SHARE * count), _MOST_PROBATION)
    place = (np.arange(len(windows)) - begins >= np.repeat(probation, count)).nonzero()[0]
    stretches = windows.runs(windows.is_anomalous)
    # Of a window before the first stretch of its service, the nearest one before it is none.
    first, behind = np.append(stretches.first, -1), np.append(stretches.behind, 0)
    number = stretches.first.searchsorted(place, "right") - 1
    length = behind[number] - first[number]
    is_inside = windows.is_anomalous[place]
    is_behind = ~is_inside & (first[number] >= begins[place])
    hit = _sigmoid((place - behind[number]) / length) / _sigmoid(np.array(-1.0))
    late = _sigmoid((place - behind[number] + 1) / np.maximum(length - 1, 1))
    value = np.where(is_inside, hit, np.where(is_behind, late, -1.0))
    stretch = np.where(is_inside, number, -1)
    return _Worth(place, stretch, value, len(np.unique(stretch[is_inside])))


def _sigmoid(position: Float64) -> Float64:
    """1 at the left of a stretch, 0 at its right end, -1 far behind it."""
    near = np.minimum(position, _FAR_BEHIND)
    return np.where(position > _FAR_BEHIND, -1.0, 2 / (1 + np.exp(_STEEPNESS * near)) - 1)
