"""A run beside its twin, the same seeded load without faults: the first record that each fault changed.

The load generator gives the same request of both runs the same trace id, so every span has its counterpart,
and what differs is due to a fault, or to chance. How far chance goes is read off the pairs of the time
without faults::

    run    ──o──o──o──X──X──o──    o  as its counterpart, within what chance does
    twin   ──o──o──o──o──o──o──    X  deviates: failed, slower than by chance, missing, or not in the twin
                      └ first deviating record

Chance makes some request slower at any time, so a record counts only where the fault can have changed it: a
request of the fault's service, a call to it, a level that such a fault moves, or another span of a trace in
which one of these deviates. What a fault does to requests that never meet its service, as where two
services share a processor, is not told from chance, and is no first record.

This is the oracle that the effect observer is held against: it knows what the observer has to guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from microservo.domain.effects.intervals import runs
from microservo.domain.telemetry import Int64
from microservo.domain.twin_records import (
    ADDED,
    FAILED,
    HOW,
    MISSING,
    MORE,
    Flags,
    Records,
    Strata,
    records_of,
)
from schemas.records import MetricBatch, SpanBatch

AFTER_US = 5_000_000
"""How long after recovery a first deviating record still counts for the fault."""
CALM_AFTER_US = 30_000_000
"""How long after recovery the run is no example of calm."""
_RARE, _SELDOM = 0.999, 0.9
"""Shares of calm pairs that differ by less: beyond the one, two near each other are enough; beyond the
other, so many of those that follow must be that chance has odds of 3000 to 1 against it."""
_CHANCE_ALONE = 0.01
"""Share of a stratum's calm spans that may lack a counterpart, where that is to say anything."""
_LEAST_CALM = 30
"""Pairs of a stratum without which chance is not known, and only failures and missing spans count."""
_NEAR = 10
"""So many records of a stratum, one after another, are near each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """When a fault was in force; microseconds UTC.

    Attributes:
        begun_us: since when the target may have been touched: a hog holds memory before it holds all of it.
        services: those that it may show on, the root among them.
        levels: metrics of the root that it can move.
    """

    fault_id: str
    kind: str
    root_service: str
    services: tuple[str, ...]
    levels: frozenset[str]
    begun_us: int
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
    """What a fault changed on a service, beside what the observer saw there.

    Attributes:
        effect_seen_at_us: since when the observer saw it; None for never.
        is_shared: another fault may explain that as well, so that it counts for neither.
    """

    effect: TwinEffect
    effect_seen_at_us: int | None
    is_shared: bool = False


def compare(
    run: Iterable[SpanBatch | MetricBatch],
    twin: Iterable[SpanBatch | MetricBatch],
    faults: Sequence[InForce],
) -> list[TwinEffect]:
    """What each fault changed, by fault and service in the order given.

    Args:
        run: spans and metrics of the run with faults; repetitions count once.
        twin: those of its twin.
        faults: of the run.

    Raises:
        InvalidMessage: a batch has an index that points nowhere.
        InvalidInput: one of the two has no spans.
    """
    strata = Strata()
    records = records_of(run, twin, strata)
    rare, seldom = _deviating(records, _calm(records, faults), len(strata.names))
    compared = _Compared(records, rare, seldom, strata)
    return [effect for fault in faults for effect in compared.effects(fault)]


@dataclass(frozen=True, slots=True)
class _Compared:
    """A run compared with its twin.

    Attributes:
        records: everything that can deviate.
        rare, seldom: which records deviate: rarely by chance, and seldom; shape (records,).
        strata: names of the strata.
    """

    records: Records
    rare: Flags
    seldom: Flags
    strata: Strata

    def effects(self, fault: InForce) -> Iterator[TwinEffect]:
        """What a fault changed on each service that it may show on."""
        records = self.records
        within = (records.time_us >= fault.begun_us) & (records.start_us < fault.recovered_us + AFTER_US)
        firsts = self._firsts(fault, within)
        for service in fault.services:
            own = self.strata.of(service)
            mine = within & np.isin(records.stratum, own)
            found = [firsts[stratum] for stratum in own if stratum in firsts]
            first = min(found, default=None)
            yield TwinEffect(
                fault_id=fault.fault_id,
                kind=fault.kind,
                root_service=fault.root_service,
                service=service,
                applied_us=fault.applied_us,
                recovered_us=fault.recovered_us,
                first_us=None if first is None else int(records.time_us[first]),
                what="" if first is None else _what(records, first, self.strata),
                pairs=int(mine.sum()),
                deviating=int((mine & self.rare).sum()),
            )

    def _firsts(self, fault: InForce, within: Flags) -> dict[int, int]:
        """By stratum, the first record that the fault changed."""
        records, is_met = self.records, self.strata.met_by(fault.root_service, fault.levels)
        firsts: dict[int, int] = {}
        is_touched = np.zeros(len(within), np.bool_)
        for stratum in np.flatnonzero(is_met).tolist():
            places = np.flatnonzero(within & (records.stratum == stratum))
            first = self._first_of(places)
            if first is not None:
                firsts[stratum] = first
                is_touched[places[(places >= first) & self.seldom[places]]] = True
        behind = within & self.rare & self._is_behind(np.flatnonzero(is_touched))
        for stratum in np.flatnonzero(~is_met).tolist():
            places = np.flatnonzero(behind & (records.stratum == stratum))
            if len(places):
                firsts[stratum] = int(places[0])
        return firsts

    def _is_behind(self, touched: Int64) -> Flags:
        """Which records are spans of a trace that a fault touched, and end behind the first it touched there.

        There a record that deviates is not alone.

        Args:
            touched: places of the records that the fault changed itself, ascending.
        """
        trace = self.records.trace
        touched = touched[trace[touched] != 0]
        if not len(touched):
            return np.zeros(len(trace), np.bool_)
        traces, firsts = np.unique(trace[touched], return_index=True)
        which = np.minimum(np.searchsorted(traces, trace), len(traces) - 1)
        time_us = self.records.time_us
        is_behind: Flags = (traces[which] == trace) & (time_us >= time_us[touched[firsts]][which])
        return is_behind

    def _first_of(self, places: Int64) -> int | None:
        """The first of some records of a stratum that deviates."""
        found = _first(self.rare[places], self.seldom[places])
        return None if found is None else int(places[found])


def _calm(records: Records, faults: Sequence[InForce]) -> Flags:
    calm = np.ones(len(records.time_us), bool)
    for fault in faults:
        begins_us, ends_us = fault.begun_us, fault.recovered_us + CALM_AFTER_US
        calm &= (records.time_us < begins_us) | (records.start_us > ends_us)
    return calm


def _deviating(records: Records, calm: Flags, strata: int) -> tuple[Flags, Flags]:
    """By rule, which records deviate: rarely by chance, and seldom by chance."""
    rare, seldom = np.full(strata, np.inf), np.full(strata, np.inf)
    alone = records.how >= HOW.index(MISSING)
    is_telling = records.how == HOW.index(FAILED)
    for stratum in range(strata):
        mine = records.stratum == stratum
        differences = records.more[calm & mine & ~alone]
        if len(differences) >= _LEAST_CALM:
            rare[stratum], seldom[stratum] = np.maximum(0.0, np.quantile(differences, (_RARE, _SELDOM)))
        for how in (MISSING, ADDED):
            these = mine & (records.how == HOW.index(how))
            # What caches do depends on more than the request: such a span may be there or not by chance.
            if (calm & these).sum() <= _CHANCE_ALONE * max(1, (calm & mine).sum()):
                is_telling |= these
    return (
        (records.more > rare[records.stratum]) | is_telling,
        (records.more > seldom[records.stratum]) | is_telling,
    )


def _first(rare: Flags, seldom: Flags) -> int | None:
    """The first that deviates and is not the only one near; alone it counts where there are no others."""
    near = (int(p) for p in np.flatnonzero(rare) if rare[p : p + _NEAR].sum() >= min(2, len(rare)))
    first = next(near, None)
    # Where few of those that deviate do it rarely by chance, the first of these comes too late.
    if first is not None and rare.sum() >= seldom.sum() / 2:
        return first
    found = runs(np.arange(len(seldom)), seldom, natural=1 - _SELDOM, share=1.0, pause_us=1, only_strong=True)
    return found[0].start_us if found else first


def _what(records: Records, index: int, strata: Strata) -> str:
    stratum, how = strata.names[int(records.stratum[index])], HOW[int(records.how[index])]
    if how == MORE:
        more = float(records.more[index])
        how = f"{more:.4g} apart" if stratum.is_level else f"{more / 1000:.0f} ms slower"
    return f"{stratum}: {how}"
