"""How often in a row the same was decided for an entity, and when it is time to act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from microservo.domain.rules.evaluation import Outcome
from microservo.domain.rules.rule import Decided
from microservo.domain.telemetry import Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class StreakPolicy:
    """When a decision is acted on.

    Attributes:
        needed: how many times in a row each decision has to come, 1 or more.
        cooldown_us: microseconds after an action in which the entity is left alone, 0 or more.
    """

    needed: Mapping[Decided, int]
    cooldown_us: int = 60_000_000


HOST_STREAKS: Final = StreakPolicy(needed={"overload": 3, "underload": 3})
SERVICE_STREAKS: Final = StreakPolicy(needed={"replicate": 2, "migrate": 2, "stop": 3})


class Streaks:
    """Counters of consecutive decisions, in the slots of the outcomes.

    An outcome that rests on no newer measurement than the one before says nothing new and is not counted;
    one with another decision, or of another entity in the slot, begins at 1.

    Raises:
        InvalidInput: a policy with a number that is out of range.
    """

    def __init__(self, policy: StreakPolicy) -> None:
        raise NotImplementedError

    def update(self, outcome: Outcome, at_us: int) -> Int64:
        """Counts an outcome and returns the slots, in their order, for which it is time to act.

        Args:
            outcome: of the same measurements as those before.
            at_us: event time of it, epoch microseconds.
        """
        raise NotImplementedError

    def acted(self, slots: Int64, at_us: int) -> None:
        """Begins anew for entities that were acted on, as all containers of a service are, and cools down."""
        raise NotImplementedError
