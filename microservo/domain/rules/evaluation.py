"""Which rule decides for each host or container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rules.measurements import Measurements
from microservo.domain.rules.membership import Membership
from microservo.domain.rules.rule import DECISIONS, Condition, Decided, Rule
from microservo.domain.telemetry import Float64, Int64

Int8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a condition of the rule that decided compared; NaN in `value` can't be."""

    condition: Condition
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the rules say of each entity, in columns by slot.

    Attributes:
        rules: as they were given.
        decision: places in `DECISIONS`, 0 (none) where no rule matches, shape (slots,).
        winner: index into `rules` of the one that decided, -1 where none matches, shape (slots,).
        values: what its conditions compared, in their order, NaN beyond the last one, shape (slots, most
            conditions of a rule).
        serial: of the entity that was in the slot, see `Measurements.serial`.
        measured_us: when its newest value was measured, see `Measurements.measured_us`.
        held: by name of each rule with a margin, sorted serials of the entities whose conditions held.
    """

    rules: tuple[Rule, ...]
    decision: Int8
    winner: Int64
    values: Float64
    serial: Int64
    measured_us: Int64
    held: Mapping[str, Int64]

    def decided(self, slot: int) -> Decided:
        """The decision for one entity."""
        return DECISIONS[int(self.decision[slot])]

    def rule(self, slot: int) -> Rule | None:
        """The rule that decided for one entity."""
        winner = int(self.winner[slot])
        return None if winner < 0 else self.rules[winner]

    def evidence(self, slot: int) -> tuple[Evidence, ...]:
        """What was compared for it, condition by condition; empty where no rule matches."""
        rule = self.rule(slot)
        conditions = rule.conditions if rule is not None else ()
        return tuple(
            Evidence(condition=condition, value=float(value))
            for condition, value in zip(conditions, self.values[slot], strict=False)
        )


def evaluate(
    rules: Sequence[Rule],
    measurements: Measurements,
    membership: Membership,
    before: Outcome | None = None,
) -> Outcome:
    """Decides for each entity, by the most specific level at which any rule matches.

    Rules of a container beat those of its service, which beat those of its apps, which beat generic ones; of
    a host, those attached to it beat generic ones. Within a level the highest priority wins, of equal ones
    the first by name. So the order of `rules` doesn't matter. A rule for *none* that wins shields its entity.

    usmanager evaluated all levels together: each matching rule overwrote the decision of the one before in
    the order of priority, so the *lowest* number decided, whatever its level, and the first one was recorded.

    Args:
        rules: checked by `check_rules`. Of hosts' and containers' rules, those of the entities' kind count.
        measurements: of hosts or of containers.
        membership: in the slots of `measurements`.
        before: the outcome before this one; who matched then keeps matching within the margin.
    """
    raise NotImplementedError
