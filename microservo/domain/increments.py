"""What was added to sums since the point before, and over which interval.

A sum that grows tells the time; what it grew by tells what happened::

    start                before          time
      |--------------------|---------------|        goes on: value - value before, over [before, time]
                           |   |-----------|        starts anew: value, over [start, time]
                    export |---------------|        a series that its metric did not have yet at the export
                                                    before: value, over [export, time]
      |-----------------------------|-----|         first seen, and older than who watches: nothing is known

Source: OpenTelemetry metrics data model, "Temporality" and "Resets and gaps"; a value that falls is a reset,
as in Prometheus' `rate`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rows import CUMULATIVE, DELTA
from microservo.domain.telemetry import Float64, Int64, UInt8

Mask = NDArray[np.bool_]
NEVER_US = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Points; shape (rows,).

    Attributes:
        time_us: of each.
        start_us: since when it counts, 0 where unknown.
        value: what must not fall, as the sum or the number of observations.
        temporality: CUMULATIVE or DELTA.
        has_fallen: whether another part of it, that must not fall either, has: a bucket of a distribution.
    """

    time_us: Int64
    start_us: Int64
    value: Float64
    temporality: UInt8
    has_fallen: Mask | bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What is known of each row's series from before; shape (rows,).

    Attributes:
        time_us: of its newest point, NEVER_US for none.
        start_us: since when that counted, 0 where unknown.
        value: of that point.
        export_us: when its metric was last exported without it, NEVER_US where that is not known.
    """

    time_us: Int64
    start_us: Int64
    value: Float64
    export_us: Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How each row follows from the point before; shape (rows,).

    Attributes:
        is_known: whether the row says anything about an interval.
        goes_on: whether what was there before has to be taken off.
        is_newest: whether the row is newer than the point before.
        interval_us: that the row is about, where it is known.
    """

    is_known: Mask
    goes_on: Mask
    is_newest: Mask
    interval_us: Int64


def steps(now: Now, before: Before, watched_from_us: int) -> Steps:
    """How points follow from those before, by series.

    Args:
        now: the points.
        before: of the series of each point.
        watched_from_us: since when its points are watched; what started later was seen from its beginning.
    """
    time_us, start_us = now.time_us, now.start_us
    was_seen = before.time_us != NEVER_US
    is_newest = time_us > before.time_us
    is_delta = now.temporality == DELTA
    has_start = (start_us > 0) & (start_us < time_us)
    starts_anew = was_seen & (
        ((start_us > before.start_us) & (before.start_us > 0)) | (now.value < before.value) | now.has_fallen
    )
    goes_on = (now.temporality == CUMULATIVE) & was_seen & ~starts_anew
    # Whatever was there before a new start was counted by then or is lost.
    since_us = np.where(was_seen, before.time_us, before.export_us)
    since_us = np.where((starts_anew | ~was_seen) & has_start, np.maximum(since_us, start_us), since_us)
    since_us = np.where(
        ~was_seen & (before.export_us == NEVER_US) & (start_us < watched_from_us), NEVER_US, since_us
    )
    since_us = np.where(is_delta, np.where(has_start, start_us, before.time_us), since_us)
    # Deltas are about intervals of their own, so one that comes late counts; a repeated one does not.
    is_known = (since_us > 0) & (since_us < time_us) & (is_newest | (is_delta & (time_us != before.time_us)))
    return Steps(
        is_known=is_known,
        goes_on=goes_on,
        is_newest=is_newest,
        interval_us=np.where(is_known, time_us - since_us, 0),
    )
