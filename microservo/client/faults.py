"""`client.faults`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from microservo.application.command import Context
from microservo.application.faults import (
    FollowFault,
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
    """Request, stop, list and follow faults."""

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
                parameters={name: str(value) for name, value in given.items()},
                duration=duration,
                start_at=start_at,
                fault_id=fault_id,
            ),
            self._context,
        )
        self._requested_at_us[requested.fault_id] = requested.requested_at_us
        return requested.fault_id

    def stop(self, fault_id: str) -> None:
        """Asks to end a fault before its time.

        Raises:
            InvalidInput: there is no such fault, or it is over.
        """
        execute(StopFault(fault_id=fault_id), self._context)

    def list(self, *, history: bool = False) -> tuple[FaultEvent, ...]:
        """The newest event of each fault and instance, in order of the requests.

        Args:
            history: also of faults that were over so long ago that their states are no longer kept; takes as
                long as the history is.
        """
        return execute(ListFaults(history=history), self._context)

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
