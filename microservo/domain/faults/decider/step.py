"""One decision in the making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from microservo.domain.faults.decider.actions import Action, Forget, Publish, Schedule
from microservo.domain.faults.decider.events import Task, Timer
from microservo.domain.faults.decider.snapshot import snapshot
from microservo.domain.faults.decider.state import CLOSED_KEPT, ClosedFault, InjectorState, OpenFault
from microservo.domain.faults.lifecycle import ExposedService, FaultStatus
from microservo.domain.graph import place
from schemas.records import FaultEvent, FaultState

FaultT = TypeVar("FaultT", OpenFault, ClosedFault)


class Step:
    """Collects how the state changes and what is to be done; lives as long as one `decide`.

    Attributes:
        state: as changed so far.
        now_us: the instant of the decision.
    """

    def __init__(self, state: InjectorState, now_us: int) -> None:
        self.state = state
        self.now_us = now_us
        self._actions: list[Action] = []
        self._events: dict[str, list[FaultEvent]] = {}
        self._exposed: dict[str, list[ExposedService]] = {}
        self._confirmed_at_us: int | None = None

    def do(self, action: Action) -> None:
        """Adds an action, to be done after all that is published."""
        self._actions.append(action)

    def schedule(self, at_us: int, task: Task, fault_id: str, instance: str = "") -> None:
        """Asks for a `TimerDue`."""
        self.do(Schedule(at_us=at_us, timer=Timer(task=task, fault_id=fault_id, instance=instance)))

    def put(self, fault: OpenFault) -> OpenFault:
        """Replaces what is known of an open fault."""
        closed = self.state.closed
        if fault.id in closed:
            closed = _without(closed, fault.id)
        self.state = replace(self.state, open={**self.state.open, fault.id: fault}, closed=closed)
        return fault

    def close(self, fault_id: str, closed: ClosedFault) -> None:
        """Enters a fault of which nothing more will come; the one closed longest ago may be forgotten."""
        everyone = {**_without(self.state.closed, fault_id), fault_id: closed}
        while len(everyone) > CLOSED_KEPT:
            oldest = next(iter(everyone))
            del everyone[oldest]
            self.do(Forget(fault_id=oldest))
        self.state = replace(self.state, open=_without(self.state.open, fault_id), closed=everyone)

    def advance(
        self,
        fault: OpenFault,
        instance: str,
        state: FaultState,
        *,
        confirmed_at_us: int | None = None,
        **changes: Any,
    ) -> OpenFault:
        """Enters the next event of a fault, and publishes it to all that are exposed to it."""
        status = fault.status.advance(instance, state, self.now_us, **changes)
        if confirmed_at_us is not None:
            self._confirmed_at_us = confirmed_at_us
        self._exposed[fault.id] = list(fault.exposed)
        self.publish(status.latest[instance])
        return self.put(replace(fault, status=status))

    def expose(self, fault: OpenFault, exposed: Sequence[ExposedService]) -> OpenFault:
        """Enters services that are exposed to a fault too, and publishes its present version to them."""
        self._exposed.setdefault(fault.id, []).extend(exposed)
        self.store(fault.id)
        return self.put(replace(fault, exposed=tuple(sorted((*fault.exposed, *exposed), key=place))))

    def publish(self, event: FaultEvent) -> None:
        """Publishes an event that is in the state already."""
        self._events.setdefault(event.fault_id, []).append(event)

    def store(self, fault_id: str) -> None:
        """Publishes the state of a fault, though no event leads to it."""
        self._events.setdefault(fault_id, [])

    def actions(self) -> tuple[Action, ...]:
        """All that is to be done: what is published comes first."""
        # A restart may store the state of a fault and forget it at once.
        kept = [each for each in self._events if self.state.status(each) is not None]
        return (*map(self._published, kept), *self._actions)

    def _published(self, fault_id: str) -> Publish:
        fault: OpenFault | ClosedFault = self.state.open.get(fault_id) or self.state.closed[fault_id]
        exposed = self._exposed.get(fault_id, ())
        return Publish(
            events=tuple(self._events[fault_id]),
            service_faults=tuple(fault.status.service_faults(exposed)),
            snapshot=snapshot(fault),
            confirmed_at_us=self._confirmed_at_us,
        )


def rejected(step: Step, event: FaultEvent, status: FaultStatus) -> None:
    """Enters the refusal of a request, which leaves an open fault of the same id as it is."""
    known = step.state.open.get(event.fault_id)
    if known is not None:
        step.put(replace(known, status=status))
    else:
        request = step.state.request(event.fault_id)
        step.close(event.fault_id, ClosedFault(status=status, request=request))
    step.publish(event)


def _without(entries: Mapping[str, FaultT], key: str) -> dict[str, FaultT]:
    others = dict(entries)
    others.pop(key, None)
    return others
