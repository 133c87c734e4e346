"""connection-pool-exhaustion: connections of the instance to its database are taken and not given back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import failed, fewer, level, served, slow, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPoolExhaustion(Fault):
    """Connections to the database are taken from the pool and not given back.

    Without any left, requests wait for one until they or their callers give up.
    """

    kind: ClassVar[str] = "connection-pool-exhaustion"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    shows_idle: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        replace(SHARE_OF_REQUESTS, doc="share of the connections", default="100%"),
    )

    ratio: float

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        taken = level("db.client.connection.count", 4.0 * self.ratio)
        if self.ratio < 1.0:
            slower = slow(10.0, self.ratio, some_endpoints=True)
            return towards_users(slower, root=(taken, served(slower)))
        return towards_users(failed(0.25), slow(300.0, 0.5), root=(taken, fewer(1.0)))
