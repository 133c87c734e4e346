"""What a mechanism is: the semantics of putting a fault in force and out of force, written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from microservo.domain.faults.base import Wire

Owned = Callable[[], Mapping[str, str]]
"""Gives the faults that should be in force on an instance at this moment: kind by fault id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """That a fault is in force, or out of it, and how that is known.

    Attributes:
        at_us: since when, epoch microseconds UTC.
        evidence: what was seen, for people.
        within_us: the instant is true to so many microseconds, either way: for who looks again and again,
            the time between the last look that did not see it and the first that did. None where that was
            not measured.
        acted: how many requests, segments or other things the fault has acted on so far; None where nobody
            counts them.
    """

    at_us: int
    evidence: str
    within_us: int | None = None
    acted: int | None = None


class Mechanism(Protocol):
    """Carries faults on single instances, named by their ids.

    Several threads may call it, but for one fault and instance one at a time.

    A confirmation says when the fault *took effect*, or ceased to: asked again, a mechanism repeats that
    instant, so that a retry of what had already worked moves no time. Whoever awaits it looks every 20 to 50
    ms or more often, and says how exact the instant is.

    Every method raises `Retryable` when the instance gives no answer: the fault may be in force or not; and
    `Unavailable` while no target runs.
    """

    @property
    def name(self) -> str:
        """What kinds of faults call it, for example "sidecar"."""

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        """Puts a fault in force, and returns when it is; again for the same fault changes nothing.

        Raises:
            InvalidInput: this instance can't carry it; nothing was touched.
        """

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        """Takes a fault out of force, and returns when it is; also when it never was in force."""

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        """Whether the fault is in force; a process that has just started adopts it by asking."""

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        """How many things a fault that is in force has acted on so far; None where that is not known."""

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        """Removes what no fault owns, and returns what that was; `owned` is called after looking."""
