"""What a fault of the collector is: rows in, and what becomes of them out.

It keeps nothing and waits for nothing: it says what shall happen to rows, and `FaultSet` does it. Which of
them it takes is decided by the record itself, so that one that is sent again meets the same fate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from microservo.domain.faults.base import Fault
from microservo.domain.mixing import mixed
from microservo.domain.rows import DistributionRows, LogRows, PointRows, SpanRows
from microservo.domain.telemetry import Float64, Signal, UInt64

Pushed = PointRows | DistributionRows | LogRows | SpanRows
"""Rows that a service sent of itself."""

_TO_UNIT = 2.0**-53


class Outcome(NamedTuple):
    """What becomes of some rows.

    Attributes:
        rows: those that go on now.
        acted: how many the fault has acted on.
        lost: those that go nowhere.
        held: those that go on later, with the instant of each in microseconds UTC.
    """

    rows: Sequence[Pushed]
    acted: int
    lost: Pushed | None = None
    held: Sequence[tuple[int, Pushed]] = ()


Action = Callable[[Any, Pushed, int, int], Outcome]
"""What a fault does to rows that have come at an instant (microseconds UTC), by the seed of its chances."""

ActionT = TypeVar("ActionT", bound=Action)

ACTIONS: dict[str, Action] = {}


def acts(kind: type[Fault]) -> Callable[[ActionT], ActionT]:
    """Registers what a kind does; stands above its function."""

    def enter(action: ActionT) -> ActionT:
        ACTIONS[kind.kind] = action
        return action

    return enter


def seed_of(*names: str) -> int:
    """The seed of the chances of what bears these names."""
    return int.from_bytes(hashlib.blake2b("/".join(names).encode(), digest_size=8).digest(), "little")


def chances(rows: Pushed, seed: int) -> Float64:
    """A number from 0 to 1 for each row, the same for the same record; shape (rows,)."""
    return (mixed(_keys(rows) ^ np.uint64(seed)) >> np.uint64(11)).astype(np.float64) * _TO_UNIT


def signal_of_rows(rows: Pushed) -> Signal:
    """What of its telemetry a service sent."""
    if isinstance(rows, SpanRows):
        return "traces"
    return "logs" if isinstance(rows, LogRows) else "metrics"


def _keys(rows: Pushed) -> UInt64:
    """What tells a record from others, in one number."""
    if isinstance(rows, SpanRows):
        halves = rows.trace_id.view(np.uint64).reshape(-1, 2)
        return mixed(halves[:, 0] ^ mixed(halves[:, 1])) ^ rows.span_id.view(np.uint64)
    if isinstance(rows, LogRows):
        return np.where(rows.line_id == 0, rows.time_us.view(np.uint64), rows.line_id)
    series = zip(rows.series.metrics, rows.series.labels, rows.series.scopes, strict=True)
    numbers = np.array([seed_of(*names) for names in series], np.uint64)
    return mixed(rows.time_us.view(np.uint64)) ^ numbers[rows.series.codes]
