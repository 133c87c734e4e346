"""bad-deploy: the next version of the service, which is slower and fails, takes over until it is taken back.

The version takes over as behind a load balancer that drains the one before: no request is lost by it.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from microservo.adapters.opentelemetry_sdk import FIRST_VERSION
from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.faults.shares import Share
from services.workload.request import Request

_NEXT_VERSION = "1.1.0"


@fault
class BadDeploy:
    """Parameters: `latency_us` (that each request takes longer), `ratio` (of requests that fail, 0..1)."""

    kind: ClassVar[str] = "bad-deploy"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._latency_s = parameters.number("latency_us", low=0, high=60_000_000) / 1e6
        self._share = Share(fault_id, site, ratio=parameters.number("ratio", low=0.0, high=1.0))
        self._fault_id = fault_id
        self._hooks = site.hooks
        self._telemetry = site.telemetry
        self.acted = 0

    async def apply(self) -> str:
        if self._telemetry.version != FIRST_VERSION:
            msg = f"{self.kind}: version {self._telemetry.version} was deployed already; take it back first"
            raise InvalidInput(msg)
        self._hooks.beginnings[self._fault_id] = self._wait
        self._hooks.spoilers[self._fault_id] = self._share.has
        self._telemetry.release(_NEXT_VERSION)
        return f"version {_NEXT_VERSION} serves instead of {FIRST_VERSION}"

    async def recover(self) -> str:
        self._hooks.beginnings.pop(self._fault_id, None)
        self._hooks.spoilers.pop(self._fault_id, None)
        self._telemetry.release(FIRST_VERSION)
        return f"version {FIRST_VERSION} serves again, {self._share.count} of {self.acted} requests failed"

    async def _wait(self, _: Request) -> None:
        self.acted += 1
        await asyncio.sleep(self._latency_s)
