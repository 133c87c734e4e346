"""All that the injector knows; values, of which every change makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from microservo.domain.faults.base import Fault, Wire
from microservo.domain.faults.catalogue import kind_named
from microservo.domain.faults.decider.events import TargetView
from microservo.domain.faults.lifecycle import IN_FORCE, ExposedService, FaultStatus
from microservo.domain.graph import OUTSIDE, CallGraph, exposed_services
from schemas.records import FaultEvent, FaultRequest, FaultState

CLOSED_KEPT = 1000
"""How many faults are remembered after they are closed: so far back a used id is still refused."""

_FIRST_PAUSE_US = 50_000
_LONGEST_PAUSE_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFault:
    """A fault that is not over, or not finally judged.

    Attributes:
        fault: its kind and parameters; None for a declared one, on which nothing here acts.
        instances: those it is meant for.
        request: the one it began with; None after a crash, until it is read again.
        exposed: the services that have records about it; may grow while it is in force.
        under_way: instances with an apply or a recovery under way.
        checking: instances that are being asked whether the fault is in force.
        restarted: instances that came up while an apply was under way, so that its answer may be out of date.
        ending: by instance, why it shall be recovered as soon as nothing is under way any more.
        attempts: failed ones in a row, by instance.
    """

    status: FaultStatus
    fault: Fault | None
    instances: tuple[str, ...]
    request: FaultRequest | None
    exposed: tuple[ExposedService, ...] = ()
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
        exposed: tuple[ExposedService, ...],
    ) -> Self:
        """The fault of this status.

        Raises:
            InvalidInput: its kind or parameters are not of this version's catalogue.
        """
        whole = status.whole
        fault = None if status.is_declared else kind_named(whole.kind).from_canonical(whole.parameters)
        meant = tuple(sorted(status.instances)) or instances
        return cls(status=status, fault=fault, instances=meant, request=request, exposed=exposed)

    @property
    def id(self) -> str:
        return self.status.whole.fault_id

    @property
    def wire(self) -> Wire:
        """Kind and parameters for a mechanism."""
        assert self.fault is not None, "nothing acts on what was declared"
        return self.fault.wire()

    @property
    def lasts(self) -> bool:
        """Whether it is in force until a mechanism recovers it."""
        return self.fault is not None and not self.fault.one_shot

    def event(self, instance: str) -> FaultEvent:
        """The newest event of an instance."""
        return self.status.latest[instance]

    def is_in_force(self, instance: str) -> bool:
        """Whether a mechanism may be holding it there."""
        if self.fault is None or instance not in self.status.latest:
            return False
        return self.status.state(instance) in IN_FORCE

    def due_at_us(self, instance: str) -> int:
        """When an applied fault shall be recovered."""
        applied_us = self.event(instance).applied_at_us or 0
        return applied_us + self.status.whole.duration_us if self.lasts else applied_us

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
        """How long to wait after the newest of the failed attempts.

        Longer each time; but the end of a fault is looked for at short intervals, since it is measured so.
        """
        if self.status.state(instance) == "recovering":
            return _FIRST_PAUSE_US
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
        run_from_us: when that run began, epoch microseconds; 0 if nobody recorded it.
        outside: callers that are users, not services.
        target: None while there is none; then `problem` says what adds one.
        down: instances that have ended and are not back.
        released: instances that were asked for what no open fault owns.
        open: by id; replaced with every change, so another thread may look at it.
        closed: by id, the one that was closed first in front; `CLOSED_KEPT` of them.
    """

    run_id: str
    run_from_us: int = 0
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
        """Whether every fault is over that a mechanism has put in force."""
        return all(fault.status.is_over or fault.fault is None for fault in self.open.values())

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
        return {
            fault.id: fault.status.whole.kind for fault in self.open.values() if fault.is_in_force(instance)
        }

    def exposed(self, fault: OpenFault) -> tuple[ExposedService, ...]:
        """The service that a fault is in, and those that are exposed to it, as known now."""
        if fault.fault is not None and fault.fault.on_telemetry:
            # Requests go through as before, so it reaches nobody else.
            return exposed_services((), fault.status.whole.service)
        on_paper = () if self.target is None else self.target.edges
        acts_on_host = fault.fault is not None and fault.fault.acts_on_host
        return exposed_services(
            self.graph.edges(on_paper),
            fault.status.whole.service,
            neighbours=self.target.beside(fault.instances) if self.target and acts_on_host else (),
            outside=self.outside,
        )
