"""The states of a fault on each instance that it is meant for, and the records of them.

::

    requested ─► scheduled ─► applying ─► active ─► recovering ─► recovered
        │            │            │                     ├───────► stopped    ended before its time
        ▼            ▼            ▼                     └───────► failed     could not be applied, undone
     rejected     stopped     recovering

A fault that others made is declared: `requested ─► active ─► recovered`, for nobody here commands it.

Every arrow is a FaultEvent with the next version of the fault. In `active`, `recovering` and the last states
an event may also repeat the state with something new: applied again, the observer's verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from microservo.errors import InvalidInput
from schemas.records import EffectVerdict, FaultEvent, FaultState, FaultVerdict, Relation, ServiceFault

if TYPE_CHECKING:
    from microservo.domain.faults.catalogue import PlannedFault
    from microservo.domain.faults.declared import Declaration

WHOLE = ""
"""Stands for the instance in events about the whole fault."""

LAST_STATES: frozenset[FaultState] = frozenset({"rejected", "recovered", "failed", "stopped"})
IN_FORCE: frozenset[FaultState] = frozenset({"applying", "active", "recovering"})
"""States in which the instance may be touched by the fault."""

TRANSITIONS: Mapping[FaultState, frozenset[FaultState]] = {
    "requested": frozenset({"rejected", "scheduled", "active"}),
    "rejected": frozenset({"requested"}),
    "scheduled": frozenset({"applying", "stopped"}),
    "applying": frozenset({"active", "recovering"}),
    "active": frozenset({"active", "recovering", "recovered", "stopped"}),
    "recovering": frozenset({"recovering", "recovered", "failed", "stopped"}),
    "recovered": frozenset({"recovered"}),
    "failed": frozenset({"failed"}),
    "stopped": frozenset({"stopped"}),
}


RELATIONS: tuple[Relation, ...] = ("root", "caller", "user", "callee", "neighbour")
"""How a service may be connected to a target, the closest first: of several the first holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposedService:
    """A service that a fault may reach; `hops` calls lie between it and the target."""

    service: str
    relation: Relation
    hops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStatus:
    """All that is known of one fault: the newest event of each instance, and the version reached.

    Attributes:
        latest: newest event by instance; `WHOLE` for those about the whole fault.
        version: highest version given out.
    """

    latest: Mapping[str, FaultEvent]
    version: int

    @classmethod
    def begin(cls, planned: PlannedFault, *, run_id: str, at_us: int, version: int = 1) -> Self:
        """The status of a fault that was just asked for; `version` is above 1 after refused requests."""
        event = FaultEvent(
            run_id=run_id,
            fault_id=planned.fault_id,
            version=version,
            kind=planned.fault.kind,
            service=planned.service,
            instance=WHOLE,
            state="requested",
            at_us=at_us,
            requested_at_us=planned.requested_at_us,
            duration_us=planned.duration_us,
            parameters=planned.fault.canonical(),
            severity=planned.fault.severity,
        )
        return cls(latest={WHOLE: event}, version=version)

    @classmethod
    def declare(cls, declared: Declaration, *, run_id: str, at_us: int, version: int = 1) -> Self:
        """The status of a fault that was just declared; `version` as for `begin`."""
        event = FaultEvent(
            run_id=run_id,
            fault_id=declared.fault_id,
            version=version,
            kind=declared.kind,
            service=declared.service,
            instance=WHOLE,
            state="requested",
            at_us=at_us,
            requested_at_us=declared.requested_at_us,
            duration_us=0,
            parameters=dict(declared.parameters),
            severity=declared.severity,
            origin="declared",
        )
        return cls(latest={WHOLE: event}, version=version)

    @property
    def whole(self) -> FaultEvent:
        """The newest event about the whole fault."""
        return self.latest[WHOLE]

    @property
    def instances(self) -> Mapping[str, FaultEvent]:
        """The newest event of each instance."""
        return {name: event for name, event in self.latest.items() if name != WHOLE}

    @property
    def is_over(self) -> bool:
        """Whether it is in a last state everywhere."""
        return all(event.state in LAST_STATES for event in self.parts.values())

    @property
    def is_accepted(self) -> bool:
        """Whether it was found good once; only then its id is taken."""
        return bool(self.instances) or self.whole.state not in ("requested", "rejected")

    @property
    def is_declared(self) -> bool:
        """Whether others made it."""
        return self.whole.origin == "declared"

    @property
    def parts(self) -> Mapping[str, FaultEvent]:
        """The newest event of each instance; of the whole where there is none."""
        return self.instances or {WHOLE: self.whole}

    def state(self, instance: str) -> FaultState:
        """The state on an instance; that of the whole fault as long as the instance has none."""
        return self.latest.get(instance, self.whole).state

    def advance(self, instance: str, state: FaultState, at_us: int, **changes: Any) -> Self:
        """The status with one more event; fields that aren't in `changes` stay as they were.

        Raises:
            InvalidInput: that state can't follow the present one.
        """
        before = self.latest.get(instance, self.whole)
        if state not in TRANSITIONS[before.state]:
            msg = (
                f"fault {before.fault_id} can't go from {before.state} to {state} on {instance!r}; "
                f"next may be {', '.join(sorted(TRANSITIONS[before.state]))}"
            )
            raise InvalidInput(msg)
        news = {"instance": instance, "state": state, "at_us": at_us, **changes}
        return self._with(replace(before, version=self.version + 1, **news))

    def with_event(self, event: FaultEvent) -> Self:
        """The status after reading one more of its events; one older than the newest changes nothing.

        A rejection after acceptance is about another request of the same id and only takes its version.
        """
        known = self.latest.get(event.instance)
        if known is not None and event.version <= known.version:
            return self
        if event.state == "rejected" and self.is_accepted:
            return self.from_version(event.version)
        return self._with(event)

    def from_version(self, version: int) -> Self:
        """The same status, whose next event has a version above this one too."""
        return replace(self, version=max(self.version, version))

    def service_faults(self, exposed: Iterable[ExposedService]) -> Iterator[ServiceFault]:
        """The record of the fault for each of these services, in its present version."""
        whole = self.whole
        facts = {**self.times(), **self._in_force()}
        for each in exposed:
            yield ServiceFault(
                run_id=whole.run_id,
                fault_id=whole.fault_id,
                version=self.version,
                kind=whole.kind,
                service=each.service,
                root_service=whole.service,
                role="root_cause" if each.relation == "root" else "exposed",
                relation=each.relation,
                hops=each.hops,
                severity=_severity(whole),
                requested_at_us=whole.requested_at_us,
                parameters=whole.parameters,
                **facts,
            )

    def times(self) -> dict[str, Any]:
        """The mechanism's times over all instances, and how exact they are.

        A fault has begun with the first instance, and is over only with the last.
        """
        events = list(self.parts.values())
        first = _first(events, "applied_at_us")
        last = _last(events, "recovered_at_us")
        commanded = _first(events, "apply_commanded_at_us")
        ending = _last(events, "recovery_commanded_at_us")
        return {
            "apply_commanded_at_us": commanded and commanded.apply_commanded_at_us,
            "applied_at_us": first and first.applied_at_us,
            "applied_within_us": first and first.applied_within_us,
            "recovery_commanded_at_us": ending and ending.recovery_commanded_at_us,
            "recovered_at_us": last and last.recovered_at_us,
            "recovered_within_us": last and last.recovered_within_us,
        }

    def _in_force(self) -> dict[str, Any]:
        """On which instances it is or was in force since when and until when, and what it acted on."""
        touched = sorted(
            (event.instance, event.applied_at_us, event.recovered_at_us or 0)
            for event in self.instances.values()
            if event.applied_at_us is not None
        )
        counts = [event.acted for event in self.instances.values() if event.acted is not None]
        return {
            "instances": tuple(instance for instance, _, _ in touched),
            "applied_us": tuple(applied for _, applied, _ in touched),
            "recovered_us": tuple(recovered for _, _, recovered in touched),
            "acted": sum(counts) if counts else None,
        }

    def verdict(self) -> EffectVerdict:
        """The verdict, which is given for the fault as a whole."""
        verdicts = {event.verdict for event in self.parts.values()} - {"pending"}
        for verdict in ("confirmed", "ineffective", "inconclusive"):
            if verdict in verdicts:
                return verdict
        return "pending"

    def _with(self, event: FaultEvent) -> Self:
        latest = {**self.latest, event.instance: event}
        return replace(self, latest=latest, version=max(self.version, event.version))


def fold(events: Iterable[FaultEvent]) -> dict[str, FaultStatus]:
    """The statuses that events lead to, by fault id, whatever order the events come in."""
    statuses: dict[str, FaultStatus] = {}
    for event in sorted(events, key=lambda event: event.version):
        status = statuses.get(event.fault_id)
        if status is not None:
            statuses[event.fault_id] = status.with_event(event)
        else:
            start = replace(event, instance=WHOLE)
            begun = FaultStatus(latest={WHOLE: start}, version=event.version)
            statuses[event.fault_id] = begun.with_event(event)
    return statuses


def findings_of(verdict: FaultVerdict) -> dict[str, Any]:
    """What a verdict says, as the fields of a fault's events."""
    return {
        "verdict": verdict.verdict,
        "verdict_version": verdict.version,
        "effect_seen_at_us": verdict.effect_seen_at_us,
        "effect_seen_within_us": verdict.effect_seen_within_us,
        "normal_at_us": verdict.normal_at_us,
        "normal_within_us": verdict.normal_within_us,
        "effect_evidence": verdict.evidence,
    }


def rejection(event: FaultEvent, status: FaultStatus | None) -> tuple[FaultEvent, FaultStatus]:
    """The event of a refused request, in the right version, and the status after it."""
    if status is None:
        numbered = replace(event, version=1)
        return numbered, FaultStatus(latest={WHOLE: numbered}, version=1)
    numbered = replace(event, version=status.version + 1)
    return numbered, status.with_event(numbered)


def _severity(event: FaultEvent) -> float:
    if event.severity is not None:
        return event.severity
    # A record from before version 2; to load all kinds for it takes long, and most readers need none.
    from microservo.domain.faults.catalogue import kind_named  # noqa: PLC0415

    return kind_named(event.kind).from_canonical(event.parameters).severity


def _first(events: Iterable[FaultEvent], name: str) -> FaultEvent | None:
    """The event that has the earliest of these times."""
    return min(
        (event for event in events if getattr(event, name) is not None),
        key=lambda event: getattr(event, name),
        default=None,
    )


def _last(events: Sequence[FaultEvent], name: str) -> FaultEvent | None:
    """The event that has the latest of these times; None as long as one lacks it."""
    if any(getattr(event, name) is None for event in events):
        return None
    return max(events, key=lambda event: getattr(event, name), default=None)
