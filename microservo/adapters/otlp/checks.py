"""What every signal is checked for, a column at a time; and what becomes of the records that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rows import Rows
from microservo.domain.telemetry import Int64

FUTURE_US = 5_000_000
"""A record may be this far ahead of our clock, for skew between machines; beyond, it is future-dated."""
_UNITS_US = {"seconds": 10**6, "milliseconds": 10**9, "microseconds": 10**12}
"""Least microseconds that a time since 2001 in such a unit becomes when it is taken for nanoseconds."""

_LEAST_US = 10 * max(_UNITS_US.values())
"""What is no less is taken for nanoseconds."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A record that can't be used: why, and what it was."""

    reason: str
    document: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instants:
    """What the times of records are judged by, all in epoch microseconds UTC.

    Args:
        now_us: when the records were received; a line of a log without any time has this one.
        oldest_us: no window is open any more for what is older.
    """

    now_us: int
    oldest_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a request holds.

    Args:
        rows: to keep.
        refused: records for the dead letters.
        too_old: how many of the kept records no window will hold.
    """

    rows: tuple[Rows, ...] = ()
    refused: tuple[Refused, ...] = ()
    too_old: int = 0

    @property
    def rejected(self) -> int:
        """Records that are reported to the sender as of no use."""
        return len(self.refused) + self.too_old

    @property
    def reason(self) -> str:
        """Why, each reason with how often; empty when all are of use."""
        reasons = Counter(each.reason for each in self.refused)
        if self.too_old:
            reasons["record is too old for any window; it is kept, and counted as dropped"] = self.too_old
        return "; ".join(f"{times} x {reason}" for reason, times in sorted(reasons.items())[:5])


def joined(parts: Sequence[Decoded]) -> Decoded:
    """What several requests hold, as if they were one."""
    return Decoded(
        rows=tuple([rows for part in parts for rows in part.rows]),
        refused=tuple([refused for part in parts for refused in part.refused]),
        too_old=sum(part.too_old for part in parts),
    )


class Checks:
    """Collects what is wrong with the records of one column set; the first fault of a record counts."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}

    def refuse(self, where: Mask | Sequence[bool], reason: str) -> None:
        """Refuses the records at which `where` is true."""
        bad = np.asarray(where)
        # Nearly always there is none, and most requests are small.
        if bad.any():
            for index in np.flatnonzero(bad).tolist():
                self._reasons.setdefault(index, reason)

    def refuse_ids(self, ids: Sequence[bytes], width: int, what: str, *, optional: bool) -> None:
        """Refuses ids of another width, and where one is needed also none and zeros."""
        allowed = {0, width} if optional else {width}
        # Nearly always all are: a set of the lengths says so sooner than an array.
        if not set(map(len, ids)) <= allowed:
            self.refuse([len(each) not in allowed for each in ids], f"{what} is not {width} bytes long")
        zeros = bytes(width)
        if not optional and zeros in ids:
            self.refuse([each == zeros for each in ids], f"{what} is all zeros")

    def refuse_times(self, time_us: Int64, now_us: int) -> None:
        """Refuses records that carry no time, one in another unit, or one that is yet to come."""
        if len(time_us) and time_us.min() >= _LEAST_US and time_us.max() <= now_us + FUTURE_US:
            return
        self.refuse(time_us == 0, "record has no time")
        for unit, least_us in _UNITS_US.items():
            self.refuse(
                (time_us >= least_us) & (time_us < 10 * least_us),
                f"time looks like {unit} since 1970; OTLP's times are nanoseconds",
            )
        self.refuse(
            time_us > now_us + FUTURE_US, f"record is more than {FUTURE_US // 1_000_000} s in the future"
        )

    @property
    def reasons(self) -> dict[int, str]:
        """The reason by position."""
        return self._reasons


def microseconds(nanoseconds: Sequence[int]) -> Int64:
    """Epoch microseconds of OTLP's unsigned nanoseconds."""
    return (np.array(nanoseconds, np.uint64) // np.uint64(1000)).astype(np.int64)
