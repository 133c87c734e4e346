"""network-partition: nothing passes between the instance and another service, as far as that calls it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import UNTIL_RECOVERY_S, Effect, Parameters, request_fault, segment_fault
from services.sidecar.framing import Head

_VANISHES = Effect(hold_s=UNTIL_RECOVERY_S)


@request_fault
@segment_fault
class NetworkPartition:
    """Holds back what comes from the peer and what goes there until the network is whole again.

    That is what TCP makes of packets that vanish: it sends them once more when they get through. Whoever
    gives up before closes the connection, and its request never arrives. What the instance itself asks the
    peer is not on this path but on the peer's.
    """

    kind: ClassVar[str] = "network-partition"

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        read.text("peer")
        read.finish()
        return cls()

    def on_request(self, request: Head | None) -> Effect | None:
        return _VANISHES

    def on_segment(self, size_bytes: int, now_s: float) -> Effect | None:
        return _VANISHES
