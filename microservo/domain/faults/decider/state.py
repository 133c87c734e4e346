"""All that the injector knows; values, of which every change makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from microservo.domain.faults.base import Fault
from microservo.domain.faults.catalogue import kind_named
from microservo.domain.faults.decider.events import TargetView
from microservo.domain.faults.lifecycle import IN_FORCE, AffectedService, FaultStatus
from microservo.domain.graph import OUTSIDE, CallGraph, affected_services
from schemas.records import FaultEvent, FaultRequest, FaultState

CLOSED_KEPT = 1000
"""How many faults are remembered after they are closed: so far back a used id is still refused."""

_FIRST_PAUSE_US = 50_000
_LONGEST_PAUSE_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFault:
    """A fault that is not over, or not finally judged.

    Attributes:
        instances: those it is meant for.
        request: the one it began with; None after a crash, until it is read again.
        affected: the services it concerns; fixed when it is applied.
        under_way: instances with an apply or a recovery under way.
        checking: instances that are being asked whether the fault is in force.
        restarted: instances that came up while an apply was under way, so that its answer may be out of date.
        ending: by instance, why it shall be recovered as soon as nothing is under way any more.
        attempts: failed ones in a row, by instance.
    """

    status: FaultStatus
    fault: Fault
    instances: tuple[str, ...]
    request: FaultRequest | None
    affected: tuple[AffectedService, ...] = ()
    under_way: frozenset[str] = frozenset()
    checking: frozenset[str] = frozenset()
    restarted: frozenset[str] = frozenset()
    ending: Mapping[str, str] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_status(
        cls,
        status: FaultStatus,
        *,
        instances: tuple[str, ...],
        request: FaultRequest | None,
        affected: tuple[AffectedService, ...],
    ) -> Self:
        """The fault of this status.

        Raises:
            InvalidInput: its kind or parameters are not of this version's catalogue.
        """
        fault = kind_named(status.whole.kind).from_canonical(status.whole.parameters)
        meant = tuple(sorted(status.instances)) or instances
        return cls(status=status, fault=fault, instances=meant, request=request, affected=affected)

    @property
    def id(self) -> str:
        return self.status.whole.fault_id

    def event(self, instance: str) -> FaultEvent:
        """The newest event of an instance."""
        return self.status.latest[instance]

    def is_in_force(self, instance: str) -> bool:
        return instance in self.status.latest and self.status.state(instance) in IN_FORCE

    def due_at_us(self, instance: str) -> int:
        """When an applied fault shall be recovered."""
        applied_us = self.event(instance).applied_at_us or 0
        return applied_us if self.fault.one_shot else applied_us + self.status.whole.duration_us

    def last_state(self, instance: str) -> FaultState:
        """The state that recovery leads to."""
        event = self.event(instance)
        if event.applied_at_us is None:
            return "failed"
        return "stopped" if event.reason else "recovered"

    def acting(self, instance: str) -> Self:
        """With an apply or a recovery under way."""
        return replace(self, under_way=self.under_way | {instance})

    def answered(self, instance: str) -> Self:
        """With nothing under way on an instance."""
        return replace(self, under_way=self.under_way - {instance})

    def with_attempts(self, instance: str, attempts: int) -> Self:
        """With so many failed attempts in a row."""
        return replace(self, attempts={**self.attempts, instance: attempts})

    def pause_us(self, instance: str) -> int:
        """How long to wait after the newest of the failed attempts; longer each time."""
        failed = max(0, self.attempts.get(instance, 0) - 1)
        return min(_FIRST_PAUSE_US << min(failed, 10), _LONGEST_PAUSE_US)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedFault:
    """A fault of which nothing more will come, or a request that was refused."""

    status: FaultStatus
    request: FaultRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectorState:
    """The faults of one target, and the target as last seen.

    Attributes:
        run_id: of the faults that are accepted from now on.
        outside: callers that are users, not services: never labelled as affected.
        target: None while there is none; then `problem` says what adds one.
        down: instances that have ended and are not back.
        released: instances that were asked for what no open fault owns.
        open: by id; replaced with every change, so another thread may look at it.
        closed: by id, the one that was closed first in front; `CLOSED_KEPT` of them.
    """

    run_id: str
    outside: frozenset[str] = OUTSIDE
    target: TargetView | None = None
    problem: str = "no target is running"
    down: frozenset[str] = frozenset()
    released: frozenset[str] = frozenset()
    graph: CallGraph = field(default_factory=CallGraph)
    open: Mapping[str, OpenFault] = field(default_factory=dict)
    closed: Mapping[str, ClosedFault] = field(default_factory=dict)

    @property
    def is_at_rest(self) -> bool:
        """Whether every fault is over."""
        return all(fault.status.is_over for fault in self.open.values())

    def status(self, fault_id: str) -> FaultStatus | None:
        """What is known of an id."""
        found = self.open.get(fault_id) or self.closed.get(fault_id)
        return None if found is None else found.status

    def request(self, fault_id: str) -> FaultRequest | None:
        """The request that a fault began with, as far as known."""
        found = self.open.get(fault_id) or self.closed.get(fault_id)
        return None if found is None else found.request

    def owned(self, instance: str) -> Mapping[str, str]:
        """Kinds by id of the faults that should be in force on an instance."""
        return {fault.id: fault.fault.kind for fault in self.open.values() if fault.is_in_force(instance)}

    def affected(self, service: str) -> tuple[AffectedService, ...]:
        """The services that a fault on a service concerns, as known now."""
        on_paper = () if self.target is None else self.target.edges
        return affected_services(self.graph.edges(on_paper), service, self.outside)
