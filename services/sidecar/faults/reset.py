"""connection-reset: a share of the requests finds its connection reset."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Effect, Parameters, request_fault
from services.sidecar.framing import Head


@request_fault
class ConnectionReset:
    """Sends a real RST to the caller (and to the instance) in place of forwarding the request.

    Answers to earlier requests on the same connection that are still on their way are lost with it, as they
    would be. A connection that does not speak HTTP is one request, whenever its next bytes come.
    """

    kind: ClassVar[str] = "connection-reset"

    def __init__(self, *, ratio: float, chance: random.Random) -> None:
        self._ratio = ratio
        self._chance = chance

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        ratio = read.ratio()
        read.finish()
        return cls(ratio=ratio, chance=chance)

    def on_request(self, request: Head | None) -> Effect | None:
        return Effect(reset=True) if self._chance.random() < self._ratio else None
