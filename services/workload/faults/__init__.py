"""Faults that act inside an instance: one module per kind, all behind `Fault`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSite:
    """What a fault may touch in its instance.

    Args:
        seed: of the instance; a fault draws from `random.Random(f"{seed}/{fault_id}")`.
        endpoints: names that the instance serves.
        spoilers: by fault id; see `RequestHandler`.
    """

    seed: str
    endpoints: frozenset[str]
    spoilers: dict[str, Callable[[str], bool]]


class Fault(Protocol):
    """One fault of one kind; its constructor has judged the parameters and touched nothing."""

    async def apply(self) -> str:
        """Returns once the fault is really in force, with the evidence.

        Raises:
            InvalidInput: this instance can't carry it now; nothing is left behind.
        """

    async def recover(self) -> str:
        """Returns once the fault is really out of force, with the evidence."""
