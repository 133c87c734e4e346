"""The faults on telemetry that are in force at one collector, by instance.

::

    placed parcel ─► drop, duplicate, ... ─► callees, packer
                         │        │
                 counted as lost  └─ held back ─► due, or the fault is over ─► callees, packer

A fault acts on records that were *made* while it was in force: an exporter sends what it gathered before it,
too, and labels say of that time that nothing was wrong. So it goes on for what was made before its end and
comes after it; only what it held back is let go at once.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from microservo.domain.faults.base import Fault
from microservo.domain.faults.catalogue import kind_named
from microservo.domain.ledger import MINUTE_US
from microservo.domain.rows import MetricRows, Rows, SpanRows
from microservo.domain.telemetry import Int64, Signal
from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from microservo.sources.source import TOPICS, Parcel
from schemas.records import TelemetryLoss
from services.telemetry_collector.faults import KINDS
from services.telemetry_collector.faults.base import ACTIONS, Outcome, Pushed, seed_of, signal_of_rows

AT = "@"
"""Between the id of a fault and the instance that it is in force on."""
_STRAGGLERS_US = 60_000_000
"""For so long after its end a fault acts on what was made before it."""
_HOLDING = frozenset({"telemetry-delay", "telemetry-reorder"})
"""They act last: what is let go passes no other fault."""


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveFault:
    """A fault on one instance; instants are microseconds UTC, the end None while it is in force."""

    name: str
    fault: Fault
    instance: str
    seed: int
    applied_at_us: int
    ended_at_us: int | None = None
    acted: int = 0


_Held = tuple[int, int, ActiveFault, Pushed]
"""When rows go on, a number that keeps their order, who holds them back, and the rows."""


class FaultSet:
    """Applies and removes faults, from any thread; one thread has parcels pass through them.

    Args:
        run_id: the run.
        clock: epoch microseconds UTC.
        most_held: records that are held back at once; beyond, those that are due first go on earlier.
    """

    def __init__(self, run_id: str, clock: Callable[[], int], *, most_held: int) -> None:
        self._run_id = run_id
        self._clock = clock
        self._most_held = most_held
        self._lock = threading.Lock()
        self._active: dict[str, ActiveFault] = {}
        self._acting: tuple[ActiveFault, ...] = ()
        self._held: list[_Held] = []
        self._held_records = 0
        self._numbers = count()
        self._lost: Counter[tuple[Signal, str, int]] = Counter()

    @property
    def is_idle(self) -> bool:
        """Whether parcels would pass unchanged, and none is held back."""
        return not self._acting and not self._held

    def __iter__(self) -> Iterator[ActiveFault]:
        return iter(tuple(self._active.values()))

    def apply(self, name: str, kind: str, parameters: Mapping[str, object]) -> ActiveFault:
        """The fault, in force for every record that is made from now on; the same one when it already is.

        Args:
            name: id and instance, with `@` between.
            kind: of the fault.
            parameters: canonical ones.

        Raises:
            InvalidInput: an unknown kind, bad parameters, or a name without an instance.
            Conflict: the name is in force as something else.
        """
        fault = _fault(kind, parameters)
        instance = name.partition(AT)[2]
        if not instance:
            msg = f"{name!r} names no instance; call it FAULT{AT}INSTANCE"
            raise InvalidInput(msg)
        with self._lock:
            known = self._active.get(name)
            if known is None:
                seed = seed_of(self._run_id, name)
                known = ActiveFault(
                    name=name, fault=fault, instance=instance, seed=seed, applied_at_us=self._clock()
                )
                self._active[name] = known
                self._acting = tuple(sorted((*self._acting, known), key=_is_holding))
            elif known.fault != fault:
                msg = f"fault {name!r} is in force as {known.fault}; remove it first"
                raise Conflict(msg)
            return known

    def remove(self, name: str) -> ActiveFault | None:
        """Ends a fault, lets go what it holds back, and returns it; None when there is none of that name."""
        with self._lock:
            ended = self._active.pop(name, None)
            if ended is not None:
                ended.ended_at_us = self._clock()
                self._held = [(0, *each[1:]) if each[2] is ended else each for each in self._held]
                heapq.heapify(self._held)
            return ended

    def pass_on(self, parcel: Parcel) -> Parcel:
        """What goes on of a parcel for now."""
        with self._lock:
            now_us = self._clock()
            rows = [each for given in parcel.rows for each in self._passed(given, now_us)]
        return replace(parcel, rows=rows)

    def let_go(self) -> list[Parcel]:
        """What was held back and is due by now, in order."""
        with self._lock:
            now_us = self._clock()
            self._acting = tuple(each for each in self._acting if not _is_over(each, now_us))
            due = []
            while self._held and (self._held[0][0] <= now_us or self._held_records > self._most_held):
                rows = heapq.heappop(self._held)[3]
                self._held_records -= rows.count
                due.append(Parcel(signal=signal_of_rows(rows), rows=(rows,)))
            return due

    def drain_losses(self) -> list[TelemetryLoss]:
        """What was lost since last asked."""
        with self._lock:
            lost, self._lost = self._lost, Counter()
        return [
            TelemetryLoss(
                run_id=self._run_id,
                service=service,
                source=TOPICS[signal],
                minute_us=minute_us,
                records=records,
            )
            for (signal, service, minute_us), records in lost.items()
        ]

    def _passed(self, rows: Rows, now_us: int) -> Iterable[Rows]:
        if isinstance(rows, MetricRows) or not rows.identity.is_target:
            return (rows,)
        # Whom a record meets is settled by its own time, before a fault changes that.
        parts: list[tuple[Pushed, tuple[ActiveFault, ...]]] = [(rows, ())]
        for active in self._acting:
            if active.instance == rows.instance and _concerns(active, rows):
                parts = [each for part, met in parts for each in _divided(part, met, active)]
        return [kept for part, met in parts for kept in self._acted(part, met, now_us)]

    def _acted(self, rows: Pushed, met: Iterable[ActiveFault], now_us: int) -> list[Pushed]:
        going = [rows]
        for active in met:
            action = ACTIONS[active.fault.kind]
            outcomes = [action(active.fault, each, now_us, active.seed) for each in going]
            for outcome in outcomes:
                self._note(active, outcome)
            going = [kept for outcome in outcomes for kept in outcome.rows]
        return going

    def _note(self, active: ActiveFault, outcome: Outcome) -> None:
        active.acted += outcome.acted
        for due_us, rows in outcome.held:
            heapq.heappush(self._held, (due_us, next(self._numbers), active, rows))
            self._held_records += rows.count
        if outcome.lost is not None and outcome.lost.count:
            lost = outcome.lost
            minutes, counts = np.unique(_event_us(lost) // MINUTE_US, return_counts=True)
            for minute, records in zip(minutes.tolist(), counts.tolist(), strict=True):
                self._lost[signal_of_rows(lost), lost.service, minute * MINUTE_US] += records


def _fault(kind: str, parameters: Mapping[str, object]) -> Fault:
    if kind not in KINDS:
        msg = f"a collector can't make {kind!r}; it can make {', '.join(KINDS)}"
        raise InvalidInput(msg)
    found = kind_named(kind)
    fault = found.from_canonical({name: str(value) for name, value in parameters.items()})
    for parameter in found.parameters:
        parameter.check(getattr(fault, parameter.field))
    return fault


def _concerns(active: ActiveFault, rows: Pushed) -> bool:
    if active.ended_at_us is not None and _is_holding(active):
        return False
    return getattr(active.fault, "signals", "all") in ("all", signal_of_rows(rows))


def _divided(
    rows: Pushed, met: tuple[ActiveFault, ...], active: ActiveFault
) -> Iterator[tuple[Pushed, tuple[ActiveFault, ...]]]:
    """The rows that were made while a fault was not in force, and those that were; with whom they meet."""
    made_us = _made_us(rows)
    is_met = made_us >= active.applied_at_us
    if active.ended_at_us is not None:
        is_met &= made_us < active.ended_at_us
    if is_met.all():
        yield rows, (*met, active)
    elif not is_met.any():
        yield rows, met
    else:
        yield rows.at(np.flatnonzero(~is_met)), met
        yield rows.at(np.flatnonzero(is_met)), (*met, active)


def _is_holding(active: ActiveFault) -> bool:
    return active.fault.kind in _HOLDING


def _is_over(active: ActiveFault, now_us: int) -> bool:
    return active.ended_at_us is not None and now_us > active.ended_at_us + _STRAGGLERS_US


def _made_us(rows: Pushed) -> Int64:
    """When each record was begun."""
    return rows.start_us if isinstance(rows, SpanRows) else rows.time_us


def _event_us(rows: Pushed) -> Int64:
    """The time of each event, as the ledger has it."""
    return rows.start_us + rows.duration_us if isinstance(rows, SpanRows) else rows.time_us
