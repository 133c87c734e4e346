"""Which rule decides for each host or container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rules.audiences import Audiences
from microservo.domain.rules.measurements import Measurements
from microservo.domain.rules.membership import Bools, Membership
from microservo.domain.rules.rule import DECISIONS, Condition, Decided, Mode, Operator, Rule
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
        is_simulated: whether any of its values was simulated, shape (slots,).
        held: by name of each rule with a margin, sorted serials of the entities whose conditions held.
    """

    rules: tuple[Rule, ...]
    decision: Int8
    winner: Int64
    values: Float64
    serial: Int64
    measured_us: Int64
    is_simulated: Bools
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
    slots = len(measurements)
    scopes = ("host",) if measurements.kind == "host" else ("app", "service", "container")
    audiences = Audiences(measurements, membership)
    is_governed = membership.is_governed(slots)
    conditions = _Conditions(measurements, before)
    decision = np.zeros(slots, np.int8)
    winner = np.full(slots, -1, np.int64)
    values = np.full((slots, max((len(rule.conditions) for rule in rules), default=0)), np.nan)
    held: dict[str, Int64] = {}
    for index in sorted(range(len(rules)), key=lambda index: _precedence(rules[index])):
        rule = rules[index]
        if rule.scope not in scopes:
            continue
        audience = audiences.of(rule.scope, rule.targets, generic=rule.generic)
        matched, compared = conditions.matched(rule, audience[is_governed[audience]])
        if any(condition.margin for condition in rule.conditions):
            # Also where another rule decides: that this one held is what its margin goes by.
            held[rule.name] = np.sort(measurements.serial[matched])
        is_open = winner[matched] < 0
        won = matched[is_open]
        winner[won] = index
        decision[won] = DECISIONS.index(rule.decision)
        for column, each in enumerate(compared):
            values[won, column] = each[is_open]
    return Outcome(
        rules=tuple(rules),
        decision=decision,
        winner=winner,
        values=values,
        serial=measurements.serial.copy(),
        measured_us=measurements.measured_us.copy(),
        is_simulated=np.logical_or.reduce(~np.isnan(measurements.simulated), axis=0),
        held=held,
    )


def _precedence(rule: Rule) -> tuple[int, int, str]:
    """Sorts rules so that the first that matches decides."""
    return -rule.level, -rule.priority, rule.name


class _Conditions:
    """Where the conditions of rules hold."""

    def __init__(self, measurements: Measurements, before: Outcome | None) -> None:
        self._measurements = measurements
        self._held: Mapping[str, Int64] = {} if before is None else before.held
        # Of all slots, for rules that apply to many: several of them compare the same.
        self._compared: dict[tuple[str, Mode], Float64] = {}

    def matched(self, rule: Rule, audience: Int64) -> tuple[Int64, list[Float64]]:
        """The slots in which all conditions hold, and what each condition compared there."""
        slots, compared = audience, list[Float64]()
        for condition in rule.conditions:
            if condition.field not in self._measurements.fields:
                return slots[:0], []
            values = self._values(condition, slots)
            holds = _holds(condition, values, condition.value)
            if condition.margin:
                kept = np.isin(self._measurements.serial[slots], self._held.get(rule.name, ()))
                holds |= kept & _holds(condition, values, *_relaxed(condition))
            slots = slots[holds]
            compared = [each[holds] for each in [*compared, values]]
        return slots, compared

    def _values(self, condition: Condition, slots: Int64) -> Float64:
        if 2 * len(slots) < len(self._measurements):
            return self._measurements.compared(condition.field, condition.mode, slots)
        key = condition.field, condition.mode
        if key not in self._compared:
            self._compared[key] = self._measurements.compared(*key, slice(None))
        return self._compared[key][slots]


def _holds(condition: Condition, values: Float64, constant: float, within: float = 0.0) -> Bools:
    """Where a comparison is true; nowhere where there is no value, not even for != ."""
    if condition.operator == "==":
        return np.abs(values - constant) <= within
    return _COMPARED[condition.operator](values, constant) & ~np.isnan(values)


def _relaxed(condition: Condition) -> tuple[float, float]:
    """The constant by which a condition goes on to hold, and how far from it is still equal."""
    moved = {">": -1, ">=": -1, "<": 1, "<=": 1}.get(condition.operator, 0) * condition.margin
    return condition.value + moved, condition.margin


_COMPARED: Mapping[Operator, Callable[[Float64, float], Bools]] = {
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
