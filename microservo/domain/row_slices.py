"""Rows by the time at which they are told: what was read together goes on in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from microservo.domain.rows import Rows, SpanRows
from microservo.domain.telemetry import Int64


def event_us(rows: Rows) -> Int64:
    """The event time of each row, shape (rows,): of a span its end."""
    return rows.start_us + rows.duration_us if isinstance(rows, SpanRows) else rows.time_us


def time_slices(rows: Iterable[Rows], ends_us: Sequence[int]) -> list[list[Rows]]:
    """The rows before each of some instants and from the one before on, in order of time within each.

    Args:
        rows: of any signals and services.
        ends_us: rising; microseconds UTC.

    Returns:
        One list for each end, and a last one with the rest.
    """
    found: list[list[Rows]] = [[] for _ in range(len(ends_us) + 1)]
    for each in rows:
        time_us = event_us(each)
        order = np.argsort(time_us, kind="stable")
        bounds = np.searchsorted(time_us[order], np.array(ends_us, np.int64), side="left")
        for number, positions in enumerate(np.split(order, bounds)):
            if len(positions):
                found[number].append(each.at(positions))
    return found
