"""app-exception: a share of the requests meets a broken record, and the service's code raises on it."""

from __future__ import annotations

import random
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class AppException:
    """Parameters: `ratio` (share of requests, 0..1), `endpoint` (name, or "" for all)."""

    kind: ClassVar[str] = "app-exception"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._ratio = parameters.number("ratio", low=0.0, high=1.0)
        self._endpoint = parameters.choice("endpoint", site.endpoints)
        self._fault_id = fault_id
        self._spoilers = site.spoilers
        self.acted = 0
        self._chance = random.Random(f"{site.seed}/{fault_id}")

    async def apply(self) -> str:
        self._spoilers[self._fault_id] = self._spoils
        return (
            f"{len(self._spoilers)} in force, ratio {self._ratio:g} on {self._endpoint or 'every endpoint'}"
        )

    async def recover(self) -> str:
        self._spoilers.pop(self._fault_id, None)
        return f"{len(self._spoilers)} in force"

    def _spoils(self, endpoint: str) -> bool:
        if self._endpoint not in ("", endpoint):
            return False
        spoils = self._chance.random() < self._ratio
        self.acted += spoils
        return spoils
