"""What every signal is checked for, a column at a time; and what becomes of the records that fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from microservo.adapters.otlp.requests import to_json
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Int64

FUTURE_US = 5_000_000
"""A record may be this far ahead of our clock, for skew between machines; beyond, it is future-dated."""
MAX_NAME_CHARS = 256

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A record that can't be used: why, and what it was, as JSON."""

    reason: str
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a request holds: rows to keep, records to put aside."""

    rows: tuple[Rows, ...]
    refused: tuple[Refused, ...]

    @property
    def count(self) -> int:
        """Rows and refused records together."""
        return sum(rows.count for rows in self.rows) + len(self.refused)

    @property
    def reason(self) -> str:
        """Why records were refused, each reason with how often; empty when none was."""
        reasons = Counter(each.reason for each in self.refused)
        return "; ".join(f"{times} x {reason}" for reason, times in sorted(reasons.items())[:5])


def joined(parts: Sequence[Decoded]) -> Decoded:
    """What several requests hold, as if they were one."""
    return Decoded(
        rows=tuple([rows for part in parts for rows in part.rows]),
        refused=tuple([refused for part in parts for refused in part.refused]),
    )


class Checks:
    """Collects what is wrong with the records of one column set; the first fault of a record counts."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}

    def refuse(self, where: Mask | Sequence[bool], reason: str) -> None:
        """Refuses the records at which `where` is true."""
        for index in np.flatnonzero(where).tolist():
            self._reasons.setdefault(index, reason)

    def refuse_long(self, names: Sequence[str], what: str) -> None:
        """Refuses the records whose text is longer than a name may be."""
        if max(map(len, names), default=0) > MAX_NAME_CHARS:
            reason = f"{what} is longer than {MAX_NAME_CHARS} characters"
            self.refuse([len(name) > MAX_NAME_CHARS for name in names], reason)

    def refuse_ids(self, ids: Sequence[bytes], width: int, what: str, *, optional: bool) -> None:
        """Refuses ids of another width, and where one is needed also none and zeros."""
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        wrong = (lengths != width) & ((lengths != 0) | (not optional))
        self.refuse(wrong, f"{what} is not {width} bytes long")
        zeros = bytes(width)
        if not optional and zeros in ids:
            self.refuse([each == zeros for each in ids], f"{what} is all zeros")

    def refuse_times(self, time_us: Int64, now_us: int) -> None:
        """Refuses records that carry no time, or one that is yet to come."""
        self.refuse(time_us == 0, "record has no time")
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


def put_aside(record: Message, reason: str, service: str, instance: str) -> Refused:
    """A record as a JSON document for the dead-letter topic."""
    document: dict[str, Any] = {"service": service, "instance": instance, "record": to_json(record)}
    return Refused(
        reason=reason, document=json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    )
