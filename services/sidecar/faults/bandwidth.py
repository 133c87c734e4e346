"""network-bandwidth: the instance's link carries fewer bytes per second."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Effect, Parameters, segment_fault

MAX_BYTES_PER_S = 100_000_000_000


@segment_fault
class NetworkBandwidth:
    """One link of `bytes_per_s` for all connections of the instance together, first come, first served.

    Only what leaves the instance counts, headers of lower layers don't. The link has no burst allowance: a
    segment is on its way for size / rate, and the next one starts when it has left.
    """

    kind: ClassVar[str] = "network-bandwidth"

    def __init__(self, *, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        bytes_per_s = read.whole("bytes_per_s", least=1, most=MAX_BYTES_PER_S)
        read.peer()
        read.finish()
        return cls(bytes_per_s=bytes_per_s)

    def on_segment(self, size_bytes: int, now_s: float) -> Effect | None:
        self._free_s = max(now_s, self._free_s) + size_bytes / self._bytes_per_s
        return Effect(hold_s=self._free_s - now_s)
