"""The faults of a sidecar as its control API sees them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from microservo.platforms.mechanism import Confirmation
from services.sidecar.fault_set import ActiveFault
from services.sidecar.proxy import Proxy

_log = logging.getLogger(__name__)


class ProxyFaults:
    """`Faults` on all connections of a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> Confirmation:
        began_us = self._proxy.clock()
        active = await self._proxy.apply(fault_id, kind, parameters)
        if active.applied_at_us >= began_us:
            active.applied_within_us = active.applied_at_us - began_us
        evidence = (
            "the port is closed, and all connections are reset"
            if active.hits is None
            else f"in force on the listener and {self._proxy.open_connections} open connections"
        )
        _log.info("%s %s is %s", kind, fault_id, evidence)
        return Confirmation(
            at_us=active.applied_at_us,
            evidence=evidence,
            within_us=active.applied_within_us,
            acted=active.hits,
        )

    async def recover(self, fault_id: str) -> Confirmation | None:
        began_us = self._proxy.clock()
        ended, recovered_at_us = await self._proxy.recover(fault_id)
        if ended is None:
            return None
        evidence = _account(ended)
        _log.info("%s has ended: %s", fault_id, evidence)
        return Confirmation(
            at_us=recovered_at_us,
            evidence=evidence,
            within_us=recovered_at_us - began_us,
            acted=ended.hits,
        )

    def listing(self) -> Sequence[Mapping[str, object]]:
        return [
            {
                "id": f.id,
                "kind": f.kind,
                "parameters": f.parameters,
                "applied_at_us": f.applied_at_us,
                "acted": f.hits,
            }
            for f in self._proxy.faults
        ]


def _account(ended: ActiveFault) -> str:
    if ended.hits is None:
        return f"{ended.kind} is over; the port is open again"
    what = "segments" if ended.kind.startswith("network-") else "requests or connections"
    return f"{ended.kind} acted on {ended.hits} {what}; what it held back has been sent on"
