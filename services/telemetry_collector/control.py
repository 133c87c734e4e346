"""The faults of a collector as its control API sees them, by ids of the form `FAULT@INSTANCE`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import generate_latest

from microservo.platforms.local.control import control_application
from microservo.platforms.mechanism import Confirmation
from microservo.runtime.http import HttpServer
from services.telemetry_collector.fault_set import ActiveFault, FaultSet

logger = logging.getLogger(__name__)


class CollectorFaults:
    """`Faults` on what passes through a collector; each takes effect at once, whatever is on its way."""

    def __init__(self, faults: FaultSet) -> None:
        self._faults = faults

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> Confirmation:
        active = self._faults.apply(fault_id, kind, parameters)
        evidence = f"in force on all that {active.instance} sends of what it makes from now on"
        logger.info("%s %s is %s", kind, fault_id, evidence)
        return Confirmation(at_us=active.applied_at_us, evidence=evidence, within_us=0, acted=active.acted)

    async def recover(self, fault_id: str) -> Confirmation | None:
        ended = self._faults.remove(fault_id)
        if ended is None:
            return None
        assert ended.ended_at_us is not None
        evidence = f"{ended.fault.kind} acted on {ended.acted} records; what it held back goes on"
        logger.info("%s has ended: %s", fault_id, evidence)
        return Confirmation(at_us=ended.ended_at_us, evidence=evidence, within_us=0, acted=ended.acted)

    def listing(self) -> Sequence[Mapping[str, object]]:
        return [_listed(each) for each in self._faults]


def control_server(faults: FaultSet, port: int, token: str, clock: Callable[[], int]) -> HttpServer:
    """Serves the control API of a collector, on the loopback interface.

    Raises:
        Unavailable: the port is taken.
    """
    app = control_application(
        CollectorFaults(faults), lambda: generate_latest().decode(), token=token, clock=clock
    )
    return HttpServer(app, port=port)


def _listed(active: ActiveFault) -> Mapping[str, object]:
    kind, parameters = active.fault.wire()
    return {
        "id": active.name,
        "kind": kind,
        "parameters": parameters,
        "applied_at_us": active.applied_at_us,
        "acted": active.acted,
    }
