"""`client.faults`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from microservo.application.command import Context
from microservo.application.faults import (
    DeclareFault,
    FollowFault,
    ForceFault,
    ListFaults,
    ListKinds,
    RequestFault,
    StopFault,
    WaitForFault,
)
from microservo.application.following import FollowedFault
from microservo.application.table import execute
from microservo.domain.faults.catalogue import KindInfo
from schemas.records import FaultEvent, FaultState


class Faults:
    """Request, declare, stop, list and follow faults."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._requested_at_us: dict[str, int] = {}

    def request(
        self,
        kind: str,
        *,
        service: str,
        duration: str | timedelta | None = None,
        instances: Sequence[str] = (),
        mode: str = "all",
        labels: Mapping[str, str] | None = None,
        start_at: datetime | None = None,
        fault_id: str | None = None,
        parameters: Mapping[str, object] | None = None,
        **more_parameters: object,
    ) -> str:
        """Asks for a fault and returns its id; the request is durable then, the fault not yet in force.

        Args:
            kind: one of `kinds`.
            service: the target; every instance of it unless `instances` names some.
            duration: how long, for example "20s"; not needed for a kind that acts once.
            instances: ids of the instances to hit.
            mode: how many of these to hit: all, one, a number like "2", or a percentage like "50%"; which of
                them, the id of the fault decides.
            labels: those that an instance must have to be hit.
            start_at: when to begin; now if not given.
            fault_id: identity; made up if not given.
            parameters: of the kind, as people write them, for example {"latency": "300ms"}.
            more_parameters: further parameters by name.

        Raises:
            InvalidInput: it can't be carried out; nothing was sent.
        """
        given = {**(parameters or {}), **more_parameters}
        requested = execute(
            RequestFault(
                kind=kind,
                service=service,
                instances=tuple(instances),
                mode=mode,
                labels=dict(labels or {}),
                parameters={name: str(value) for name, value in given.items()},
                duration=duration,
                start_at=start_at,
                fault_id=fault_id,
            ),
            self._context,
        )
        self._requested_at_us[requested.fault_id] = requested.requested_at_us
        return requested.fault_id

    def declare(
        self,
        kind: str,
        *,
        service: str,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        instances: Sequence[str] = (),
        within: str | timedelta | None = None,
        severity: float | None = None,
        declared_by: str | None = None,
        fault_id: str | None = None,
    ) -> str:
        """Says that others have made a fault, and returns the id that it gets.

        It is labelled and measured like those that are injected, as far as its run's windows are kept.

        Args:
            kind: any name that is none of `kinds`, for example "deploy".
            service: where; it need not be one of the target's.
            start_at: since when; now if not given.
            end_at: until when; not given, it is in force until `stop`.
            instances: those that it was in force on, where that is known.
            within: how exactly the instants are known, for example "500ms".
            severity: from 0 (nothing) to 1 (total); 0.5 if not given.
            declared_by: who says so; the user of this process if not given.
            fault_id: identity; made up if not given.

        Raises:
            InvalidInput: it can't be; nothing was sent.
        """
        declared = execute(
            DeclareFault(
                kind=kind,
                service=service,
                instances=tuple(instances),
                start_at=start_at,
                end_at=end_at,
                within=within,
                severity=severity,
                declared_by=declared_by,
                fault_id=fault_id,
            ),
            self._context,
        )
        self._requested_at_us[declared.fault_id] = declared.requested_at_us
        return declared.fault_id

    def stop(self, fault_id: str, *, at: datetime | None = None) -> None:
        """Asks to end a fault before its time, or says that a declared one has ended.

        Args:
            fault_id: the fault.
            at: when a declared fault ended; now if not given.

        Raises:
            InvalidInput: there is no such fault, it is over, or that can't be its end.
        """
        execute(StopFault(fault_id=fault_id, at=at), self._context)

    def force(self, fault_id: str) -> tuple[str, ...]:
        """Gives up the recovery of a fault that is stuck; it may stay in force.

        Returns:
            the instances that it was stuck on.

        Raises:
            InvalidInput: nothing of the fault is stuck.
        """
        return execute(ForceFault(fault_id=fault_id), self._context)

    def list(self, *, history: bool = False, fault_id: str | None = None) -> tuple[FaultEvent, ...]:
        """The newest event of each fault and instance, in order of the requests.

        Args:
            history: also of faults that were over so long ago that their states are no longer kept; takes as
                long as the history is where no catalogue has it.
            fault_id: of this fault alone, however long it is over.
        """
        return execute(ListFaults(history=history, fault_id=fault_id), self._context)

    def kinds(self) -> tuple[KindInfo, ...]:
        """Every kind of fault with its parameters, and whether the running target can carry it."""
        return execute(ListKinds(), self._context)

    def follow(self, fault_id: str) -> FollowedFault:
        """The events of a fault so far and those to come; close it, or use it as a context."""
        command = FollowFault(fault_id=fault_id, requested_at_us=self._requested_at_us.get(fault_id, 0))
        return execute(command, self._context)

    def wait(self, fault_id: str, state: FaultState, timeout_s: float) -> FaultEvent:
        """Waits until a fault has reached a state on each of its instances; returns the event that says so.

        Raises:
            InvalidInput: it was rejected.
            MicroServoError: it ended in another way.
            Unavailable: `timeout_s` seconds have passed.
        """
        command = WaitForFault(
            fault_id=fault_id,
            state=state,
            timeout_s=timeout_s,
            requested_at_us=self._requested_at_us.get(fault_id, 0),
        )
        return execute(command, self._context)
