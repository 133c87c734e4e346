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
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Five-minute buckets with a false alarm, and fault-free time; shape (1 + services,)."""

    buckets: Int64
    fault_free_us: Int64


def false_alarms(windows: Judged) -> FalseAlarms:
    """Counts them for all services, then for each."""
    free = _fault_free(windows)
    length_us = np.concatenate(([0], np.where(free, windows.end_us - windows.start_us, 0).cumsum()))
    own_us = np.diff(length_us[windows.bounds])
    alarmed = (free & windows.is_flagged).nonzero()[0]
    bucket = windows.start_us[alarmed] // BUCKET_US
    service = windows.service_of()[alarmed]
    is_new = np.append(True, (np.diff(bucket) != 0) | (np.diff(service) != 0))[: len(alarmed)]
    own = np.bincount(service[is_new], minlength=len(windows.services))
    return FalseAlarms(np.concatenate(([own.sum()], own)), np.concatenate(([own_us.sum()], own_us)))


def false_alarm_metrics(found: FalseAlarms) -> Mapping[str, Float64]:
    """Shape (1 + services,)."""
    return {"false_alarms_per_hour": ratio(found.buckets * _HOUR_US, found.fault_free_us)}


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
