"""What a mechanism is: the semantics of putting a fault in force and out of force, written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from microservo.domain.faults.base import Wire

Owned = Callable[[], Mapping[str, str]]
"""Gives the faults that should be in force on an instance at this moment: kind by fault id."""


class TargetInstance(Protocol):
    """What a mechanism must know of an instance; `pid` is None while its process is down."""

    @property
    def id(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def started_at_us(self) -> int: ...

    @property
    def control_url(self) -> str: ...

    @property
    def sidecar_url(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """That a fault is in force, or out of it, since `at_us` (epoch microseconds), and how that is known."""

    at_us: int
    evidence: str


class Mechanism(Protocol):
    """Carries faults on single instances. Several threads may call it, but for one fault one at a time.

    Every method raises `Retryable` when the instance gives no answer: the fault may be in force or not.
    """

    def apply(self, instance: TargetInstance, fault_id: str, wire: Wire) -> Confirmation:
        """Puts a fault in force, and returns when it is; again for the same fault changes nothing.

        Raises:
            InvalidInput: this instance can't carry it; nothing was touched.
        """

    def recover(self, instance: TargetInstance, fault_id: str, wire: Wire) -> Confirmation:
        """Takes a fault out of force, and returns when it is; also when it never was in force."""

    def holds(self, instance: TargetInstance, fault_id: str, wire: Wire) -> bool:
        """Whether the fault is in force; a process that has just started takes it up by asking."""

    def release_strangers(self, instance: TargetInstance, owned: Owned) -> list[str]:
        """Takes out of force what nobody owns, and tells what that was. `owned` is asked after looking."""
