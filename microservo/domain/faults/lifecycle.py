"""The states of a fault on each instance that it is meant for, and the records of them.

::

    requested ─► scheduled ─► applying ─► active ─► recovering ─► recovered
        │            │            │                     ├───────► stopped    ended before its time
        ▼            ▼            ▼                     └───────► failed     could not be applied, undone
     rejected     stopped     recovering

Every arrow is a FaultEvent with the next version of the fault. In `active`, `recovering` and the last states
an event may also repeat the state with something new: applied again, the observer's verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from microservo.domain.faults.catalogue import PlannedFault, kind_named
from microservo.errors import InvalidInput
from schemas.records import EffectVerdict, FaultEvent, FaultState, Role, ServiceFault

WHOLE = ""
"""Stands for the instance in events about the whole fault."""

LAST_STATES: frozenset[FaultState] = frozenset({"rejected", "recovered", "failed", "stopped"})
IN_FORCE: frozenset[FaultState] = frozenset({"applying", "active", "recovering"})
"""States in which the instance may be touched by the fault."""

TRANSITIONS: Mapping[FaultState, frozenset[FaultState]] = {
    "requested": frozenset({"rejected", "scheduled"}),
    "rejected": frozenset({"requested"}),
    "scheduled": frozenset({"applying", "stopped"}),
    "applying": frozenset({"active", "recovering"}),
    "active": frozenset({"active", "recovering"}),
    "recovering": frozenset({"recovering", "recovered", "failed", "stopped"}),
    "recovered": frozenset({"recovered"}),
    "failed": frozenset({"failed"}),
    "stopped": frozenset({"stopped"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedService:
    """A service that a fault concerns; `hops` calls lie between it and the target."""

    service: str
    role: Role
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
        events = self.instances.values() or (self.whole,)
        return all(event.state in LAST_STATES for event in events)

    @property
    def is_accepted(self) -> bool:
        """Whether it was found good once; only then its id is taken."""
        return bool(self.instances) or self.whole.state not in ("requested", "rejected")

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
        news = {"evidence": "", "reason": before.reason, **changes}
        event = replace(before, version=self.version + 1, instance=instance, state=state, at_us=at_us, **news)
        return self._with(event)

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

    def service_faults(self, affected: Iterable[AffectedService]) -> Iterator[ServiceFault]:
        """The record of the fault for each of these services, in its present version."""
        whole = self.whole
        times = self.times()
        severity = kind_named(whole.kind).from_canonical(whole.parameters).severity
        for each in affected:
            yield ServiceFault(
                run_id=whole.run_id,
                fault_id=whole.fault_id,
                version=self.version,
                kind=whole.kind,
                service=each.service,
                root_service=whole.service,
                role=each.role,
                hops=each.hops,
                severity=severity,
                requested_at_us=whole.requested_at_us,
                verdict=self.verdict(),
                **times,
            )

    def times(self) -> dict[str, Any]:
        """The measured times over all instances: begun with the first, over only with the last."""
        events = list(self.instances.values())
        return {
            "apply_commanded_at_us": _first(event.apply_commanded_at_us for event in events),
            "applied_at_us": _first(event.applied_at_us for event in events),
            "effect_seen_at_us": _first(event.effect_seen_at_us for event in events),
            "recovery_commanded_at_us": _last([event.recovery_commanded_at_us for event in events]),
            "recovered_at_us": _last([event.recovered_at_us for event in events]),
            "normal_at_us": _last([event.normal_at_us for event in events if event.applied_at_us]),
        }

    def verdict(self) -> EffectVerdict:
        """The verdict, which is given for the fault as a whole."""
        verdicts = {event.verdict for event in self.instances.values()} - {"pending"}
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


def rejection(event: FaultEvent, status: FaultStatus | None) -> tuple[FaultEvent, FaultStatus]:
    """The event of a refused request, in the right version, and the status after it."""
    if status is None:
        numbered = replace(event, version=1)
        return numbered, FaultStatus(latest={WHOLE: numbered}, version=1)
    numbered = replace(event, version=status.version + 1)
    return numbered, status.with_event(numbered)


def _first(times: Iterable[int | None]) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _last(times: list[int | None]) -> int | None:
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None
