"""wrong-answer: a share of the requests is answered with the record of another key, as if all were well."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.faults.shares import Share


@fault
class WrongAnswer:
    """Parameters: `ratio` (share of requests, 0..1), `endpoint` (name, or "" for all)."""

    kind: ClassVar[str] = "wrong-answer"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._share = Share.of(fault_id, parameters, site)
        self._fault_id = fault_id
        self._answerers = site.hooks.answerers
        self._keys = ("user-0", "user-1")

    @property
    def acted(self) -> int:
        return self._share.count

    async def apply(self) -> str:
        self._answerers[self._fault_id] = self._exchange
        return f"the wrong record answers {self._share}"

    async def recover(self) -> str:
        self._answerers.pop(self._fault_id, None)
        return f"{self._share.count} requests were answered with the wrong record"

    def _exchange(self, record: dict[str, str]) -> None:
        if self._share.has(record["endpoint"]):
            # That of the request before, and never the right one.
            record["key"] = next(key for key in self._keys if key != record["key"])
        elif record["key"] != self._keys[0]:
            self._keys = (record["key"], self._keys[0])
