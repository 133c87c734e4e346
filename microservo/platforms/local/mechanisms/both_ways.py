"""The mechanism of faults that an instance and its sidecar make together: what leaves, and what comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from microservo.domain.faults.base import Wire
from microservo.errors import InvalidInput
from microservo.platforms.mechanism import Confirmation, Mechanism, Owned


class BothWays:
    """`Mechanism` of several: a fault is in force when it is so by all, and over when it is so by all.

    Args:
        name: of the mechanism.
        parts: those that carry it together, in the order in which they are asked.
    """

    def __init__(self, name: str, parts: Sequence[Mechanism]) -> None:
        self.name = name
        self._parts = parts

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        done: list[tuple[Mechanism, Confirmation]] = []
        for part in self._parts:
            try:
                done.append((part, part.apply(instance, fault_id, wire)))
            except InvalidInput:
                for earlier, _ in done:
                    earlier.recover(instance, fault_id, wire)
                raise
        return _joined(confirmed for _, confirmed in done)

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        return _joined(part.recover(instance, fault_id, wire) for part in self._parts)

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        # Each is asked: one that has just started adopts by it what it holds.
        return all([part.holds(instance, fault_id, wire) for part in self._parts])

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        return _sum(part.acted(instance, fault_id, wire) for part in self._parts)

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        return sorted({each for part in self._parts for each in part.release_unowned(instance, owned)})


def _joined(confirmed: Iterable[Confirmation]) -> Confirmation:
    """The last of them, as exact as the first before it: between both it was in force by some."""
    parts = sorted(confirmed, key=lambda each: each.at_us)
    last, first = parts[-1], min(each.at_us - (each.within_us or 0) for each in parts)
    is_measured = all(each.within_us is not None for each in parts)
    return Confirmation(
        at_us=last.at_us,
        evidence="; ".join(each.evidence for each in parts),
        within_us=last.at_us - first if is_measured else None,
        acted=_sum(each.acted for each in parts),
    )


def _sum(acted: Iterable[int | None]) -> int | None:
    """How many together; None where nobody counts."""
    counted = [each for each in acted if each is not None]
    return sum(counted) if counted else None
