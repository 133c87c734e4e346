"""False alarms in fault-free hours.

An alarm outside anomalous windows costs one for each five minutes of the clock that it touches, so that an
alarm which never ends costs as much as one that comes again and again: counting onsets, it would cost 1.
The two windows behind an anomalous one are neither fault-free nor an offence.

- `false_alarms_per_hour`: per hour of one service; 0 or more, 12 where no fault cuts the five minutes up,
  lower is better. NaN without fault-free time. Who never says anything gets 0, so this is read beside what
  was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from microservo.domain.scoring.ratios import ratio
from microservo.domain.scoring.series import Flags, Float64, Int64, Judged

BUCKET_US = 300_000_000
GRACE_WINDOWS = 2
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class FaultFree:
    """Windows without a fault, and the five minutes of one service that they fall in.

    Attributes:
        place: of each such window, shape (fault-free windows,).
        bucket_first: where among them each bucket begins, shape (buckets,).
        bucket_service: the place of each bucket's service, likewise.
        length_us: fault-free time, shape (1 + services,): of all services first, then of each.
    """

    place: Int64
    bucket_first: Int64
    bucket_service: Int64
    length_us: Int64


def fault_free(windows: Judged) -> FaultFree:
    """Finds the windows in which an alarm is false."""
    place = _fault_free(windows).nonzero()[0]
    edges = place.searchsorted(windows.bounds)
    length_us = windows.end_us[place] - windows.start_us[place]
    own_us = [int(length_us[first:behind].sum()) for first, behind in pairwise(edges.tolist())]
    bucket = windows.start_us[place] // BUCKET_US
    is_new = np.append(True, bucket[1:] != bucket[:-1])[: len(place)]
    is_new[edges[:-1][edges[:-1] < edges[1:]]] = True
    first = is_new.nonzero()[0]
    service = edges.searchsorted(first, "right") - 1
    return FaultFree(place, first, service, np.array([sum(own_us), *own_us], np.int64))


def false_alarms(windows: Judged, free: FaultFree) -> Int64:
    """Buckets with a false alarm, shape (1 + services,): of all services first, then of each."""
    if not len(free.bucket_first):
        return np.zeros(1 + len(windows.services), np.int64)
    is_alarmed = np.logical_or.reduceat(windows.is_flagged[free.place], free.bucket_first)
    own = np.bincount(free.bucket_service[is_alarmed], minlength=len(windows.services))
    return np.concatenate(([own.sum()], own))


def false_alarm_metrics(buckets: Int64, free: FaultFree) -> Mapping[str, Float64]:
    """Shape (1 + services,).

    Args:
        buckets: with a false alarm.
        free: fault-free time.
    """
    return {"false_alarms_per_hour": ratio(buckets * HOUR_US, free.length_us)}


def _fault_free(windows: Judged) -> Flags:
    """Normal windows that don't begin within the grace behind an anomalous one of their service."""
    rows = ~windows.is_anomalous
    behind = windows.runs(windows.is_anomalous).behind
    last = behind - 1
    until_us = windows.end_us[last] + GRACE_WINDOWS * (windows.end_us[last] - windows.start_us[last])
    ends = windows.bounds[windows.bounds.searchsorted(last, "right")]
    while len(behind):
        is_within = behind < ends
        behind, ends, until_us = behind[is_within], ends[is_within], until_us[is_within]
        is_within = windows.start_us[behind] < until_us
        behind, ends, until_us = behind[is_within], ends[is_within], until_us[is_within]
        rows[behind] = False
        behind = behind + 1
    return rows
