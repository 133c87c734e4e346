"""db-slow-query: queries of the instance to its database take longer, each on a connection meanwhile."""

from __future__ import annotations

from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload import database
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class DbSlowQuery:
    """Parameters: `database`, `table` (name of an endpoint, or "" for all), `latency_us`.

    `connector` is what the kind has of other platforms; there is one driver here.
    """

    kind: ClassVar[str] = "db-slow-query"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        name = parameters.text("database")
        if name != database.NAME:
            msg = f"{self.kind}: database is {name!r}; the one of an instance is called {database.NAME!r}"
            raise InvalidInput(msg)
        self._table = parameters.choice("table", site.endpoints)
        self._latency_s = parameters.number("latency_us", low=1_000, high=60_000_000) / 1e6
        parameters.integer("connector", low=0, high=100)
        self._fault_id = fault_id
        self._latencies = site.database.query_latencies
        self.acted = 0

    async def apply(self) -> str:
        self._latencies[self._fault_id] = self._latency
        return f"queries of {self._table or 'every table'} take {self._latency_s:g} s longer"

    async def recover(self) -> str:
        self._latencies.pop(self._fault_id, None)
        return f"{self.acted} queries took longer"

    def _latency(self, table: str) -> float:
        if self._table not in ("", table):
            return 0.0
        self.acted += 1
        return self._latency_s
