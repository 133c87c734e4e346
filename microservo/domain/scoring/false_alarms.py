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
    rows = _fault_free(windows)
    place = rows.nonzero()[0]
    total_us = np.concatenate(([0], np.where(rows, windows.end_us - windows.start_us, 0).cumsum()))
    own_us = np.diff(total_us[windows.bounds])
    bucket, service = windows.start_us[place] // BUCKET_US, windows.service_of()[place]
    is_new = np.append(True, (np.diff(bucket) != 0) | (np.diff(service) != 0))[: len(place)]
    first = is_new.nonzero()[0]
    return FaultFree(place, first, service[first], np.concatenate(([own_us.sum()], own_us)))


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
    """Normal windows that don't follow an anomalous one of their service within the grace."""
    if not len(windows):
        return windows.is_anomalous
    length_us = windows.end_us - windows.start_us
    # Services lie behind one another in time, too far apart for a grace to reach over.
    apart_us = int(windows.end_us.max() - windows.start_us.min() + (GRACE_WINDOWS + 1) * length_us.max())
    shift_us = windows.service_of() * apart_us - windows.start_us.min()
    ended_us = np.where(windows.is_anomalous, windows.end_us + shift_us, -apart_us)
    since_us = windows.start_us + shift_us - np.maximum.accumulate(ended_us)
    return np.asarray(~windows.is_anomalous & (since_us >= GRACE_WINDOWS * length_us))
