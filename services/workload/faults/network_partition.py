"""network-partition: what the instance sends to another service vanishes, as far as it calls that."""

from __future__ import annotations

from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.dependency_blackhole import DependencyBlackhole
from services.workload.faults.parameters import Parameters


@fault
class NetworkPartition(DependencyBlackhole):
    """Parameters: `peer` (a service; what comes from there is held by the sidecar)."""

    kind: ClassVar[str] = "network-partition"

    def _read(self, parameters: Parameters, site: FaultSite) -> str:
        peer = parameters.text("peer")
        if not peer:
            msg = f"{self.kind}: peer is empty; give the name of a service"
            raise InvalidInput(msg)
        return peer
