"""dns-wrong-address: names that the instance looks up are answered with random addresses."""

from __future__ import annotations

import random
from typing import ClassVar
from urllib.parse import urlsplit

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class DnsWrongAddress:
    """Parameters: `name` (of a service that the instance calls, or "" for all).

    The addresses are of the loopback interface (127.0.0.0/8), so that no call leaves this machine; nobody
    listens there.
    """

    kind: ClassVar[str] = "dns-wrong-address"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._name = parameters.choice("name", site.callees)
        self._fault_id = fault_id
        self._outgoing = site.outgoing
        self._chance = random.Random(f"{site.seed}/{fault_id}")
        self.acted = 0

    async def apply(self) -> str:
        self._outgoing.disturbances[self._fault_id] = self
        return f"looking up {self._name or 'any name'} gives random addresses"

    async def recover(self) -> str:
        self._outgoing.disturbances.pop(self._fault_id, None)
        return f"{self.acted} names were answered wrongly"

    async def reach(self, service: str, url: str) -> str:
        if self._name not in ("", service):
            return url
        self.acted += 1
        # The second number is never 0, so it is never an address that somebody took.
        numbers = [127, *(self._chance.randint(1, 254) for _ in range(3))]
        return f"http://{'.'.join(map(str, numbers))}:{urlsplit(url).port}"
