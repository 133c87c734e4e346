"""A run beside its twin, the same seeded load without faults: the first record that each fault changed.

The load generator gives the same request of both runs the same trace id, so every span has its counterpart,
and what differs is due to a fault, or to chance. How far chance goes is read off the pairs of the time
without faults::

    run    ──o──o──o──X──X──o──    o  as its counterpart, within what chance does
    twin   ──o──o──o──o──o──o──    X  deviates: failed, slower than by chance, missing, or not in the twin
                      └ first deviating record

This is the oracle that the effect observer is held against: it knows what the observer has to guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.mixing import mixed
from microservo.domain.telemetry import Float64, Int64, SpanColumns, UInt64, span_columns
from microservo.errors import InvalidInput
from schemas.records import SpanBatch

Flags = NDArray[np.bool_]

AFTER_US = 5_000_000
"""How long after recovery a first deviating record still counts for the fault."""
CALM_AFTER_US = 30_000_000
"""How long after recovery the run is no example of calm."""
_CHANCE = 0.999
"""Share of calm pairs whose difference is no larger than what is put down to chance."""
_LEAST_CALM = 30
"""Pairs of a stratum without which chance is not known, and only failures and missing spans count."""
_MARGIN_US = 2_000_000
_NEAR = 10
"""Among so many records of a stratum, one that deviates must not be the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """When a fault was in force; microseconds UTC.

    Attributes:
        services: those that it may show on, the root among them.
    """

    fault_id: str
    kind: str
    root_service: str
    services: tuple[str, ...]
    applied_us: int
    recovered_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinEffect:
    """What a fault changed on one service.

    Attributes:
        first_us: event time of the first deviating record, microseconds UTC of the run; None for none.
        what: how that one deviates, and which call or request it is; empty for none.
        pairs: records of the service from the fault's begin on that were compared.
        deviating: how many of them deviate.
    """

    fault_id: str
    kind: str
    root_service: str
    service: str
    applied_us: int
    recovered_us: int
    first_us: int | None
    what: str
    pairs: int
    deviating: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRow:
    """What a fault changed on a service, and since when the observer saw it; None for never."""

    effect: TwinEffect
    effect_seen_at_us: int | None


@dataclass(frozen=True, slots=True)
class _Spans:
    """Spans of a run, each once; arrays of shape (spans,).

    Attributes:
        key: the same for the counterpart in another run with the same seed.
        stratum: index into the names of strata.
        start_us, end_us: microseconds UTC.
        failed: whether the span failed.
    """

    key: UInt64
    stratum: Int64
    start_us: Int64
    end_us: Int64
    failed: Flags


@dataclass(frozen=True, slots=True)
class _Records:
    """Everything that can deviate, in the run's time; arrays of shape (records,), in order of time.

    Attributes:
        time_us: event time; of a missing span, when it would have ended.
        start_us: when it began, or would have.
        stratum: index into the names of strata.
        slower_us: how much longer it took than its counterpart; 0 where there is none.
        how: index into `_HOW`: but for how long it took as its counterpart, failed, missing, not in the twin.
    """

    time_us: Int64
    start_us: Int64
    stratum: Int64
    slower_us: Float64
    how: Int64


_SLOWER, _FAILED, _MISSING, _ADDED = "slower", "failed", "missing", "not in the twin"
_HOW = (_SLOWER, _FAILED, _MISSING, _ADDED)


def compare(
    run: Iterable[SpanBatch], twin: Iterable[SpanBatch], faults: Sequence[InForce]
) -> list[TwinEffect]:
    """What each fault changed, by fault and service in the order given.

    Args:
        run: all spans of the run with faults; repetitions count once.
        twin: all spans of its twin.
        faults: of the run.

    Raises:
        InvalidMessage: a batch has an index that points nowhere.
        InvalidInput: one of the two has no spans.
    """
    strata = _Strata()
    ours, theirs = _spans(run, strata), _spans(twin, strata)
    records = _records(ours, theirs)
    deviates = _deviates(records, _calm(records, faults), len(strata.names))
    return [
        _effect(fault, service, records, deviates, strata) for fault in faults for service in fault.services
    ]


class _Strata:
    """Spans that are alike: of one service, endpoint, called service and kind."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str, str, int]] = []
        self._index: dict[tuple[str, str, str, int], int] = {}

    def index(self, name: tuple[str, str, str, int]) -> int:
        """The number of a stratum."""
        found = self._index.setdefault(name, len(self.names))
        if found == len(self.names):
            self.names.append(name)
        return found

    def of(self, service: str) -> list[int]:
        """The numbers of a service's strata."""
        return [index for index, name in enumerate(self.names) if name[0] == service]

    def text(self, index: int) -> str:
        """A stratum in words."""
        _, endpoint, peer, _ = self.names[index]
        return f"{endpoint} of {peer}" if peer else endpoint


def _spans(batches: Iterable[SpanBatch], strata: _Strata) -> _Spans:
    parts = [_columns(batch, strata) for batch in batches]
    if not parts:
        msg = "a run without spans has no twin; was its load generator started?"
        raise InvalidInput(msg)
    trace, span_id, stratum, start_us, end_us, failed = map(np.concatenate, zip(*parts, strict=True))
    _, once = np.unique(mixed(trace ^ mixed(span_id)), return_index=True)
    order = once[np.lexsort((start_us[once], stratum[once], trace[once]))]
    trace, stratum = trace[order], stratum[order]
    key = mixed(trace ^ mixed(stratum.astype(np.uint64) << np.uint64(24) | _ordinal(trace, stratum)))
    return _Spans(key, stratum, start_us[order], end_us[order], failed[order])


def _columns(batch: SpanBatch, strata: _Strata) -> tuple[UInt64, UInt64, Int64, Int64, Int64, Flags]:
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


def _strata_of(batch: SpanBatch, columns: SpanColumns, strata: _Strata) -> Int64:
    combined = (
        columns.endpoint.astype(np.int64) << 24
        | columns.peer.astype(np.int64) << 8
        | columns.kind.astype(np.int64)
    )
    distinct, places = np.unique(combined, return_inverse=True)
    names = [
        (batch.service, batch.endpoints[each >> 24], batch.peers[each >> 8 & 0xFFFF], each & 0xFF)
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


def _records(ours: _Spans, theirs: _Spans) -> _Records:
    _, mine, other = np.intersect1d(ours.key, theirs.key, assume_unique=True, return_indices=True)
    shift_us = int(np.median(ours.start_us[mine] - theirs.start_us[other])) if len(mine) else 0
    slower_us = (ours.end_us[mine] - ours.start_us[mine]) - (theirs.end_us[other] - theirs.start_us[other])
    # At its ends a run has records whose counterparts lie beyond those of the other.
    begins_us = max(ours.start_us.min(), theirs.start_us.min() + shift_us) + _MARGIN_US
    ends_us = min(ours.start_us.max(), theirs.start_us.max() + shift_us) - _MARGIN_US
    missing = _alone(theirs, other, begins_us - shift_us, ends_us - shift_us)
    added = _alone(ours, mine, begins_us, ends_us)
    paired = _Records(
        ours.end_us[mine],
        ours.start_us[mine],
        ours.stratum[mine],
        slower_us.astype(np.float64),
        (ours.failed[mine] & ~theirs.failed[other]).astype(np.int64),
    )
    parts = (paired, _unpaired(theirs, missing, shift_us, _MISSING), _unpaired(ours, added, 0, _ADDED))
    time_us = np.concatenate([each.time_us for each in parts])
    order = np.argsort(time_us, kind="stable")
    return _Records(
        time_us[order],
        np.concatenate([each.start_us for each in parts])[order],
        np.concatenate([each.stratum for each in parts])[order],
        np.concatenate([each.slower_us for each in parts])[order],
        np.concatenate([each.how for each in parts])[order],
    )


def _unpaired(spans: _Spans, chosen: Int64, shift_us: int, how: str) -> _Records:
    """Spans without a counterpart as records."""
    return _Records(
        spans.end_us[chosen] + shift_us,
        spans.start_us[chosen] + shift_us,
        spans.stratum[chosen],
        np.zeros(len(chosen)),
        np.full(len(chosen), _HOW.index(how)),
    )


def _alone(spans: _Spans, paired: Int64, begins_us: int, ends_us: int) -> Int64:
    """Places of the spans that began within these bounds and have no counterpart."""
    alone = (spans.start_us >= begins_us) & (spans.start_us < ends_us)
    alone[paired] = False
    return np.flatnonzero(alone)


def _calm(records: _Records, faults: Sequence[InForce]) -> Flags:
    calm = np.ones(len(records.time_us), bool)
    for fault in faults:
        begins_us, ends_us = fault.applied_us, fault.recovered_us + CALM_AFTER_US
        calm &= (records.time_us < begins_us) | (records.start_us > ends_us)
    return calm


def _deviates(records: _Records, calm: Flags, strata: int) -> Flags:
    chance_us = np.full(strata, np.inf)
    paired = records.how <= 1
    for stratum in range(strata):
        differences = records.slower_us[calm & paired & (records.stratum == stratum)]
        if len(differences) >= _LEAST_CALM:
            chance_us[stratum] = max(0.0, float(np.quantile(differences, _CHANCE)))
    slow = records.slower_us > chance_us[records.stratum]
    found: Flags = slow | (records.how > 0)
    return found


def _effect(
    fault: InForce,
    service: str,
    records: _Records,
    deviates: Flags,
    strata: _Strata,
) -> TwinEffect:
    within = (records.time_us >= fault.applied_us) & (records.start_us < fault.recovered_us + AFTER_US)
    first: int | None = None
    pairs = deviating = 0
    for stratum in strata.of(service):
        places = np.flatnonzero(within & (records.stratum == stratum))
        flags = deviates[places]
        pairs += len(places)
        deviating += int(flags.sum())
        found = _first_of_several(flags)
        if found is not None and (first is None or places[found] < first):
            first = int(places[found])
    return TwinEffect(
        fault_id=fault.fault_id,
        kind=fault.kind,
        root_service=fault.root_service,
        service=service,
        applied_us=fault.applied_us,
        recovered_us=fault.recovered_us,
        first_us=None if first is None else int(records.time_us[first]),
        what="" if first is None else _what(records, first, strata),
        pairs=pairs,
        deviating=deviating,
    )


def _first_of_several(flags: Flags) -> int | None:
    """The first that deviates and is not the only one near; alone it counts where there are no others."""
    for place in np.flatnonzero(flags).tolist():
        near = flags[place : place + _NEAR]
        if near.sum() >= min(2, len(flags)):
            return int(place)
    return None


def _what(records: _Records, index: int, strata: _Strata) -> str:
    how = _HOW[int(records.how[index])]
    if how == _SLOWER:
        how = f"{records.slower_us[index] / 1000:.0f} ms slower"
    return f"{strata.text(int(records.stratum[index]))}: {how}"
