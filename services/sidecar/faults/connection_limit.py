"""connection-limit: the instance takes no more than so many connections at once."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Parameters, listener_fault

MAX_CONNECTIONS = 10_000


@listener_fault
class ConnectionLimit:
    """Resets connections beyond `connections`, those that are open when it begins as well, the newest first.

    Who has one of the others keeps it, and everybody else is refused.
    """

    kind: ClassVar[str] = "connection-limit"

    def __init__(self, *, connections: int) -> None:
        self.most_connections: int | None = connections

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        connections = read.whole("connections", least=1, most=MAX_CONNECTIONS)
        read.finish()
        return cls(connections=connections)
