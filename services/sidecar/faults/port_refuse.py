"""port-refuse: nothing listens on the instance's port."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Parameters, listener_fault


@listener_fault
class PortRefuse:
    """Closes the port and resets its connections; who connects is refused by the kernel (ECONNREFUSED)."""

    kind: ClassVar[str] = "port-refuse"
    most_connections: int | None = None

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        Parameters(cls.kind, parameters).finish()
        return cls()
