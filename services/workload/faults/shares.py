"""A share of the requests, chosen by the instance's seed and counted."""

from __future__ import annotations

import random

from services.workload.faults.base import FaultSite
from services.workload.faults.parameters import Parameters


class Share:
    """Draws for each request whether it is one of the share.

    Args:
        fault_id: the same one draws the same.
        ratio: the share, 0 to 1.
        endpoint: name of the only one that is concerned; "" for all.
    """

    def __init__(self, fault_id: str, site: FaultSite, *, ratio: float, endpoint: str = "") -> None:
        self.ratio = ratio
        self.count = 0
        """How many were of it so far."""
        self._endpoint = endpoint
        self._chance = random.Random(f"{site.seed}/{fault_id}")

    @classmethod
    def of(cls, fault_id: str, parameters: Parameters, site: FaultSite) -> Share:
        """By the parameters `ratio` and `endpoint`."""
        ratio = parameters.number("ratio", low=0.0, high=1.0)
        return cls(fault_id, site, ratio=ratio, endpoint=parameters.choice("endpoint", site.endpoints))

    def has(self, endpoint: str) -> bool:
        """Whether the next request, to this endpoint, is of it."""
        if self._endpoint not in ("", endpoint):
            return False
        drawn = self._chance.random() < self.ratio
        self.count += drawn
        return drawn

    def __str__(self) -> str:
        return f"{self.ratio:g} of the requests to {self._endpoint or 'every endpoint'}"
