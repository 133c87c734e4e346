"""How often in a row the same was decided for an entity, and when it is time to act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from microservo.domain.rules.evaluation import Outcome
from microservo.domain.rules.measurements import NEVER_US
from microservo.domain.rules.membership import padded
from microservo.domain.rules.rule import DECISIONS, Decided
from microservo.domain.telemetry import Int64
from microservo.errors import InvalidInput

_NOT_ACTED_ON: Final = np.iinfo(np.int64).max


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
    simulated values are new at every instant. One with another decision, or of another entity in the slot,
    begins at 1.

    Raises:
        InvalidInput: a policy with a number that is out of range.
    """

    def __init__(self, policy: StreakPolicy) -> None:
        _check(policy)
        self._cooldown_us = policy.cooldown_us
        self._needed = np.array([policy.needed.get(each, _NOT_ACTED_ON) for each in DECISIONS], np.int64)
        self._decision = np.zeros(0, np.int8)
        self._count = np.zeros(0, np.int64)
        self._serial = np.zeros(0, np.int64)
        self._measured_us = np.zeros(0, np.int64)
        self._acted_us = np.zeros(0, np.int64)
        self._at_us = int(NEVER_US)

    @property
    def count(self) -> Int64:
        """How many times in a row each entity's decision has come, shape (slots,)."""
        return self._count

    def update(self, outcome: Outcome, at_us: int) -> Int64:
        """Counts an outcome and returns the slots, in their order, for which it is time to act.

        Args:
            outcome: of the same measurements as those before.
            at_us: event time of it, epoch microseconds.
        """
        self._forget_others(outcome)
        is_same = outcome.decision == self._decision
        is_news = outcome.measured_us > self._measured_us
        if at_us > self._at_us:
            is_news |= outcome.is_simulated
        self._at_us = max(at_us, self._at_us)
        self._count = np.where(is_same, self._count + is_news, 1)
        self._decision = outcome.decision.copy()
        self._measured_us = outcome.measured_us.copy()
        is_cool = (self._acted_us == NEVER_US) | (self._acted_us <= at_us - self._cooldown_us)
        return np.flatnonzero((self._count >= self._needed[self._decision]) & is_cool)

    def acted(self, slots: Int64, at_us: int) -> None:
        """Begins anew for entities that were acted on, as all containers of a service are, and cools down.

        Args:
            slots: those that came since the last outcome have nothing to begin anew.
            at_us: event time, epoch microseconds.
        """
        slots = slots[slots < len(self._count)]
        self._decision[slots] = 0
        self._count[slots] = 0
        self._acted_us[slots] = at_us

    def _forget_others(self, outcome: Outcome) -> None:
        """Begins anew in slots that have another entity than before, or none did have."""
        slots = len(outcome.serial)
        serial = padded(self._serial, slots, 0)
        is_other = serial != outcome.serial
        self._serial = outcome.serial.copy()
        self._decision = np.where(is_other, 0, padded(self._decision, slots, 0)).astype(np.int8)
        self._count = np.where(is_other, 0, padded(self._count, slots, 0))
        self._measured_us = np.where(is_other, NEVER_US, padded(self._measured_us, slots, NEVER_US))
        self._acted_us = np.where(is_other, NEVER_US, padded(self._acted_us, slots, NEVER_US))


def _check(policy: StreakPolicy) -> None:
    for decision, needed in policy.needed.items():
        if decision not in DECISIONS[1:]:
            msg = f"{decision!r} is never acted on; give numbers for {', '.join(DECISIONS[1:])}"
            raise InvalidInput(msg)
        if needed < 1:
            msg = f"{decision} can't be acted on after {needed} times in a row; give 1 or more"
            raise InvalidInput(msg)
    if policy.cooldown_us < 0:
        msg = f"a cooldown of {policy.cooldown_us} us is over before it begins; give 0 or more"
        raise InvalidInput(msg)
