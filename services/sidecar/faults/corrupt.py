"""network-corrupt: a share of the segments that leave the instance has wrong bits."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Parameters, segment_fault
from services.sidecar.faults.loss import NetworkLoss


@segment_fault
class NetworkCorrupt(NetworkLoss):
    """What wrong bits mean to a receiver: it drops the segment for its checksum, as if it had been lost."""

    kind: ClassVar[str] = "network-corrupt"

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        ratio = read.ratio()
        read.finish()
        return cls(ratio=ratio, chance=chance)
