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
_RARE, _SELDOM = 0.999, 0.98
"""Shares of calm pairs that differ by less: beyond the one, two near each other are enough; beyond the
other, most of those that are near must be."""
_CHANCE_ALONE = 0.01
"""Share of a stratum's calm spans that may lack a counterpart, where that is to say anything."""
_LEAST_CALM = 30
"""Pairs of a stratum without which chance is not known, and only failures and missing spans count."""
_NEAR = 10
"""So many records of a stratum, one after another, are near each other."""
_LEAST_NEAR, _MOST_OF = 3, 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """When a fault was in force; microseconds UTC.

    Attributes:
        begun_us: since when the target may have been touched: a hog holds memory before it holds all of it.
        services: those that it may show on, the root among them.
    """

    fault_id: str
    kind: str
    root_service: str
    services: tuple[str, ...]
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
    deviates = _deviates(records, _calm(records, faults), len(strata.names))
    return [
        _effect(fault, service, records, deviates, strata) for fault in faults for service in fault.services
    ]


def _calm(records: Records, faults: Sequence[InForce]) -> Flags:
    calm = np.ones(len(records.time_us), bool)
    for fault in faults:
        begins_us, ends_us = fault.begun_us, fault.recovered_us + CALM_AFTER_US
        calm &= (records.time_us < begins_us) | (records.start_us > ends_us)
    return calm


def _deviates(records: Records, calm: Flags, strata: int) -> tuple[Flags, Flags]:
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


def _effect(
    fault: InForce,
    service: str,
    records: Records,
    deviates: tuple[Flags, Flags],
    strata: Strata,
) -> TwinEffect:
    within = (records.time_us >= fault.begun_us) & (records.start_us < fault.recovered_us + AFTER_US)
    is_missing = records.how == HOW.index(MISSING)
    pairs = deviating = 0
    firsts: list[int] = []
    for stratum in strata.of(service):
        places = np.flatnonzero(within & (records.stratum == stratum))
        pairs += len(places)
        deviating += int(deviates[0][places].sum())
        # A record that came says more exactly when than one that never did.
        for chosen in (places[~is_missing[places]], places):
            found = _first(deviates[0][chosen], deviates[1][chosen])
            if found is not None:
                firsts.append(int(chosen[found]))
                break
    came = [each for each in firsts if not is_missing[each]]
    first = min(came or firsts, default=None)
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


def _first(rare: Flags, seldom: Flags) -> int | None:
    """The first that deviates and is not the only one near; alone it counts where there are no others."""
    found = [
        place
        for place in np.flatnonzero(rare).tolist()
        if rare[place : place + _NEAR].sum() >= min(2, len(rare))
    ]
    found[1:] = []
    for place in np.flatnonzero(seldom).tolist():
        near = seldom[place : place + _NEAR]
        if near.sum() >= max(_LEAST_NEAR, _MOST_OF * len(near)):
            found.append(place)
            break
    return min(found, default=None)


def _what(records: Records, index: int, strata: Strata) -> str:
    stratum, how = strata.names[int(records.stratum[index])], HOW[int(records.how[index])]
    if how == MORE:
        more = float(records.more[index])
        how = f"{more:.4g} apart" if stratum.is_level else f"{more / 1000:.0f} ms slower"
    return f"{stratum}: {how}"
