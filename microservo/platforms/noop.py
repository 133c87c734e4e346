"""The mechanism of faults that change nothing."""

from __future__ import annotations

from collections.abc import Callable

from microservo.domain.faults.base import Wire
from microservo.platforms.mechanism import Confirmation, Owned


class NoopMechanism:
    """`Mechanism` that confirms at once."""

    name = "none"

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        return Confirmation(at_us=self._clock(), evidence="nothing was touched", within_us=0)

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        return Confirmation(at_us=self._clock(), evidence="nothing was touched", within_us=0)

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        return True

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        return None

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        return []
