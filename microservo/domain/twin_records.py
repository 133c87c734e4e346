"""The records of a run that have a counterpart in its twin, or lack one; how they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.mixing import mixed
from microservo.domain.telemetry import (
    Float64,
    Int64,
    SpanColumns,
    UInt64,
    metric_columns,
    span_columns,
)
from microservo.errors import InvalidInput
from schemas.records import MetricBatch, SpanBatch

Flags = NDArray[np.bool_]

MORE, FAILED, MISSING, ADDED = "more", "failed", "missing", "not in the twin"
HOW = (MORE, FAILED, MISSING, ADDED)

_MARGIN_US = 2_000_000
_APART_US = 1_000_000
"""How far the samples of two runs may lie apart to be compared."""
_LEVELS = ("process.cpu.", "process.memory.", "service.", "network.requests.active")
"""Metrics that are levels of the moment; all others follow from the requests or add up."""


@dataclass(frozen=True, slots=True)
class Records:
    """Everything that can deviate, in the run's time; arrays of shape (records,), in order of time.

    Attributes:
        time_us: event time; of a missing span, when it would have ended.
        start_us: when it began, or would have.
        stratum: index into the names of strata.
        more: by how much it is more than its counterpart: microseconds that a span took longer, or how far a
            level lies from that of the twin, either way; 0 where there is none.
        how: index into `HOW`: but for `more` as its counterpart, failed, missing, not in the twin.
        trace: the same for all spans of a trace, of the run and of the twin; 0 for points of a level.
    """

    time_us: Int64
    start_us: Int64
    stratum: Int64
    more: Float64
    how: Int64
    trace: UInt64

    @classmethod
    def of(cls, parts: Sequence[Records]) -> Records:
        """All records of some parts."""
        time_us = np.concatenate([each.time_us for each in parts])
        order = np.argsort(time_us, kind="stable")
        return cls(
            time_us[order],
            np.concatenate([each.start_us for each in parts])[order],
            np.concatenate([each.stratum for each in parts])[order],
            np.concatenate([each.more for each in parts])[order],
            np.concatenate([each.how for each in parts])[order],
            np.concatenate([each.trace for each in parts])[order],
        )


@dataclass(frozen=True, slots=True)
class Stratum:
    """Records that are alike: spans of a service, endpoint, called service and kind, or points of a level."""

    service: str
    name: str
    peer: str = ""
    kind: int = 0
    instance: str = ""

    @property
    def is_level(self) -> bool:
        """Whether these are points of a metric."""
        return bool(self.instance)

    def __str__(self) -> str:
        return f"{self.name} of {self.peer}" if self.peer else self.name


class Strata:
    """The strata that occurred, by number."""

    def __init__(self) -> None:
        self.names: list[Stratum] = []
        self._index: dict[Stratum, int] = {}

    def index(self, name: Stratum) -> int:
        """The number of a stratum."""
        found = self._index.setdefault(name, len(self.names))
        if found == len(self.names):
            self.names.append(name)
        return found

    def of(self, service: str) -> list[int]:
        """The numbers of a service's strata."""
        return [index for index, name in enumerate(self.names) if name.service == service]

    def met_by(self, service: str, levels: Collection[str]) -> Flags:
        """Which strata hold what a fault of a service changes itself: shape (strata,).

        These are its own requests and calls, the calls of others to it, and some of its levels.

        Args:
            service: that the fault is in force on.
            levels: names of those metrics of the service that such a fault can move.
        """
        return np.array(
            [
                (name.service == service and (not name.is_level or name.name in levels))
                or name.peer == service
                for name in self.names
            ],
            np.bool_,
        )


@dataclass(frozen=True, slots=True)
class _Spans:
    """Spans of a run, each once; arrays of shape (spans,).

    Attributes:
        key: the same for the counterpart in another run with the same seed.
        stratum: index into the names of strata.
        start_us, end_us: microseconds UTC.
        failed: whether the span failed.
        trace: the same for all spans of a trace.
    """

    key: UInt64
    stratum: Int64
    start_us: Int64
    end_us: Int64
    failed: Flags
    trace: UInt64


def records_of(
    run: Iterable[SpanBatch | MetricBatch], twin: Iterable[SpanBatch | MetricBatch], strata: Strata
) -> Records:
    """All records of a run and its twin, compared.

    Raises:
        InvalidMessage: a batch has an index that points nowhere.
        InvalidInput: one of the two has no spans.
    """
    (our_spans, our_levels), (their_spans, their_levels) = (_divided(each) for each in (run, twin))
    ours, theirs = _spans(our_spans, strata), _spans(their_spans, strata)
    shift_us, parts = _compared_spans(ours, theirs)
    levels = _compared_levels(_series(our_levels), _series(their_levels), shift_us, strata)
    return Records.of([*parts, *levels])


def _divided(batches: Iterable[SpanBatch | MetricBatch]) -> tuple[list[SpanBatch], list[MetricBatch]]:
    spans: list[SpanBatch] = []
    levels: list[MetricBatch] = []
    for batch in batches:
        if isinstance(batch, SpanBatch):
            spans.append(batch)
        else:
            levels.append(batch)
    return spans, levels


def _spans(batches: Iterable[SpanBatch], strata: Strata) -> _Spans:
    parts = [_columns(batch, strata) for batch in batches]
    if not parts:
        msg = "a run without spans has no twin; was its load generator started?"
        raise InvalidInput(msg)
    trace, span_id, stratum, start_us, end_us, failed = map(np.concatenate, zip(*parts, strict=True))
    _, once = np.unique(mixed(trace ^ mixed(span_id)), return_index=True)
    order = once[np.lexsort((start_us[once], stratum[once], trace[once]))]
    trace, stratum = trace[order], stratum[order]
    key = mixed(trace ^ mixed(stratum.astype(np.uint64) << np.uint64(24) | _ordinal(trace, stratum)))
    return _Spans(key, stratum, start_us[order], end_us[order], failed[order], trace)


def _columns(batch: SpanBatch, strata: Strata) -> tuple[UInt64, UInt64, Int64, Int64, Int64, Flags]:
    """Trace and span as numbers, stratum, begin, end, and whether it failed."""
    columns = span_columns(batch)
    halves = np.frombuffer(columns.trace_id.tobytes(), "<u8").reshape(-1, 2)
    return (
        mixed(mixed(halves[:, 0]) ^ halves[:, 1]),
        np.frombuffer(columns.span_id.tobytes(), "<u8"),
        _strata_of(batch, columns, strata),
        columns.start_us,
        columns.time_us,
        columns.error != 0,
    )


def _strata_of(batch: SpanBatch, columns: SpanColumns, strata: Strata) -> Int64:
    combined = (
        columns.endpoint.astype(np.int64) << 24
        | columns.peer.astype(np.int64) << 8
        | columns.kind.astype(np.int64)
    )
    distinct, places = np.unique(combined, return_inverse=True)
    names = [
        Stratum(batch.service, batch.endpoints[each >> 24], batch.peers[each >> 8 & 0xFFFF], each & 0xFF)
        for each in distinct.tolist()
    ]
    numbers: Int64 = np.array([strata.index(name) for name in names], np.int64)[places]
    return numbers


def _ordinal(trace: UInt64, stratum: Int64) -> UInt64:
    """Which of the spans of its trace and stratum each is, in the order of their begin."""
    places = np.arange(len(trace))
    begins = np.r_[True, (trace[1:] != trace[:-1]) | (stratum[1:] != stratum[:-1])]
    ordinal: UInt64 = (places - np.maximum.accumulate(np.where(begins, places, 0))).astype(np.uint64)
    return ordinal


def _compared_spans(ours: _Spans, theirs: _Spans) -> tuple[int, list[Records]]:
    """How many microseconds later the run was than its twin, and its spans with and without counterpart."""
    _, mine, other = np.intersect1d(ours.key, theirs.key, assume_unique=True, return_indices=True)
    shift_us = int(np.median(ours.start_us[mine] - theirs.start_us[other])) if len(mine) else 0
    slower_us = (ours.end_us[mine] - ours.start_us[mine]) - (theirs.end_us[other] - theirs.start_us[other])
    # At its ends a run has records whose counterparts lie beyond those of the other.
    begins_us = max(ours.start_us.min(), theirs.start_us.min() + shift_us) + _MARGIN_US
    ends_us = min(ours.start_us.max(), theirs.start_us.max() + shift_us) - _MARGIN_US
    missing = _alone(theirs, other, begins_us - shift_us, ends_us - shift_us)
    added = _alone(ours, mine, begins_us, ends_us)
    paired = Records(
        ours.end_us[mine],
        ours.start_us[mine],
        ours.stratum[mine],
        slower_us.astype(np.float64),
        (ours.failed[mine] & ~theirs.failed[other]).astype(np.int64),
        ours.trace[mine],
    )
    return shift_us, [
        paired,
        _unpaired(theirs, missing, shift_us, MISSING),
        _unpaired(ours, added, 0, ADDED),
    ]


def _unpaired(spans: _Spans, chosen: Int64, shift_us: int, how: str) -> Records:
    """Spans without a counterpart as records."""
    return Records(
        spans.end_us[chosen] + shift_us,
        spans.start_us[chosen] + shift_us,
        spans.stratum[chosen],
        np.zeros(len(chosen)),
        np.full(len(chosen), HOW.index(how)),
        spans.trace[chosen],
    )


def _alone(spans: _Spans, paired: Int64, begins_us: int, ends_us: int) -> Int64:
    """Places of the spans that began within these bounds and have no counterpart."""
    alone = (spans.start_us >= begins_us) & (spans.start_us < ends_us)
    alone[paired] = False
    return np.flatnonzero(alone)


_Series = dict[Stratum, tuple[Int64, Float64]]
"""Times and values of each level, in order of time."""


def _series(batches: Iterable[MetricBatch]) -> _Series:
    parts: dict[Stratum, list[tuple[Int64, Float64]]] = {}
    for batch in batches:
        columns = metric_columns(batch)
        for number, name in enumerate(batch.names):
            if name.startswith(_LEVELS):
                mine = columns.name == number
                for place, instance in enumerate(batch.instances):
                    chosen = mine & (columns.instance == place)
                    stratum = Stratum(batch.service, name, instance=instance)
                    parts.setdefault(stratum, []).append((columns.time_us[chosen], columns.value[chosen]))
    found: _Series = {}
    for stratum, several in parts.items():
        times_us, once = np.unique(np.concatenate([times for times, _ in several]), return_index=True)
        found[stratum] = (times_us, np.concatenate([values for _, values in several])[once])
    return found


def _compared_levels(ours: _Series, theirs: _Series, shift_us: int, strata: Strata) -> Iterator[Records]:
    """Every point of the run whose twin has one close to its time."""
    for stratum in ours.keys() & theirs.keys():
        times_us, values = ours[stratum]
        other_us, other_values = theirs[stratum]
        other_us = other_us + shift_us
        after = np.clip(np.searchsorted(other_us, times_us), 1, max(len(other_us) - 1, 1))
        before = after - 1
        after = np.minimum(after, len(other_us) - 1)
        nearest = np.where(times_us - other_us[before] < other_us[after] - times_us, before, after)
        close = np.abs(other_us[nearest] - times_us) <= _APART_US
        times_us = times_us[close]
        yield Records(
            times_us,
            times_us,
            np.full(len(times_us), strata.index(stratum)),
            np.abs(values[close] - other_values[nearest][close]),
            np.zeros(len(times_us), np.int64),
            np.zeros(len(times_us), np.uint64),
        )
