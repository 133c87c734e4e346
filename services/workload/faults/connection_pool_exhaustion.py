"""connection-pool-exhaustion: connections of the pool are taken and not given back."""

from __future__ import annotations

from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.pool import PoolTimeout


@fault
class ConnectionPoolExhaustion:
    """Parameters: `ratio` (share of the connections that are taken, 0..1; one at least)."""

    kind: ClassVar[str] = "connection-pool-exhaustion"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._pool = site.database.pool
        ratio = parameters.number("ratio", low=0.0, high=1.0)
        self._wanted = max(1, round(ratio * self._pool.size))
        self._taken = 0

    async def apply(self) -> str:
        try:
            # In turn with the requests, each as soon as one is given back.
            while self._taken < self._wanted:
                await self._pool.acquire()
                self._taken += 1
        except PoolTimeout as error:
            await self.recover()
            msg = f"{self.kind}: {error}, somebody else holds them; try again when that is over"
            raise InvalidInput(msg) from error
        return f"{self._taken} of {self._pool.size} connections are taken"

    async def recover(self) -> str:
        given, self._taken = self._taken, 0
        for _ in range(given):
            self._pool.release()
        return f"{given} of {self._pool.size} connections were given back"
