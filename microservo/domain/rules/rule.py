"""Rules: what is to be decided where conditions on measured values hold, and who each rule applies to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from microservo.domain.rules.fields import check_field
from microservo.errors import InvalidInput

Scope = Literal["host", "app", "service", "container"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

Mode = Literal["effective", "average", "deviation-%-on-average", "deviation-%-on-last"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

Operator = Literal["==", "!=", ">", "<", ">=", "<="]
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)

Decided = Literal["none", "overload", "underload", "replicate", "migrate", "stop"]
DECISIONS: Final[tuple[Decided, ...]] = get_args(Decided)
"""An `Outcome` has them as numbers: their places here."""
HOST_DECISIONS: Final[tuple[Decided, ...]] = ("none", "overload", "underload")
SERVICE_DECISIONS: Final[tuple[Decided, ...]] = ("none", "replicate", "migrate", "stop")
"""Of rules of apps, services and containers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A comparison of one measured value with a constant: value <operator> constant.

    Attributes:
        field: name of what is measured; see `fields`.
        mode: which value of it. With v the present one and the history before it, v not included:
            *effective* is v; *average* the mean of the history; *deviation-%-on-average* (v - mean) / |mean|
            x 100; *deviation-%-on-last* (v - last) / |last| x 100. What is undefined, as a deviation from 0
            or a mean of nothing, matches no operator.
        operator: how they are compared.
        value: the constant, in the unit of the field, or in per cent.
        margin: hysteresis, 0 or more, in the unit of `value`. Where the rule matched the last time, the
            constant is moved by it so that the condition holds longer: `> 90` with a margin of 10 begins
            above 90 and ends at 80. `==` holds as long as they differ by no more than it; `!=` has none.
    """

    field: str
    mode: Mode
    operator: Operator
    value: float
    margin: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A decision, wherever all conditions hold.

    Attributes:
        name: unique among all rules.
        scope: what its targets are.
        generic: it applies to every host, or to the containers of every service. Of scope host or service.
        priority: among rules of the same level, the highest wins.
        decision: one of `HOST_DECISIONS` or `SERVICE_DECISIONS`. *none* says that nothing is to be done: it
            shields its targets from less specific rules.
        conditions: all must hold. Only a rule for *none* may do without any; it then always holds.
        targets: names of the hosts, apps, services or containers that it is attached to. A rule of an app or
            a service applies to each container of theirs; without targets, to none.
    """

    name: str
    scope: Scope
    generic: bool = False
    priority: int = 0
    decision: Decided
    conditions: tuple[Condition, ...] = ()
    targets: frozenset[str] = frozenset()

    @property
    def level(self) -> int:
        """How specific it is: generic 0, app 1, service 2, container 3; a rule of some hosts 1."""
        if self.generic:
            return 0
        return {"host": 1, "app": 1, "service": 2, "container": 3}[self.scope]


def decisions_of(scope: Scope) -> tuple[Decided, ...]:
    """What a rule of that scope can decide."""
    return HOST_DECISIONS if scope == "host" else SERVICE_DECISIONS


def check_rules(rules: Sequence[Rule], *, queries: Collection[str] = ()) -> None:
    """Refuses rules that can't be meant, one by one and together.

    Args:
        rules: all there are.
        queries: names of fields that are registered with a Prometheus query.

    Raises:
        InvalidInput: names what is wrong, with what, and what would do.
    """
    for rule in rules:
        _check_rule(rule)
        for condition in rule.conditions:
            _check_condition(rule.name, condition, queries)
    name, times = next(iter(Counter(rule.name for rule in rules).most_common(1)), ("", 0))
    if times > 1:
        msg = f"{times} rules are named {name[:80]!r}; the name of a rule is unique, so rename the others"
        raise InvalidInput(msg)


def _check_rule(rule: Rule) -> None:
    known = f"rule {rule.name[:80]!r}"
    if not rule.name.strip():
        msg = f"a rule of scope {rule.scope} has no name; give one, which evidence and ties go by"
        raise InvalidInput(msg)
    if rule.scope not in SCOPES:
        msg = f"{known} has scope {rule.scope!r}; take one of {', '.join(SCOPES)}"
        raise InvalidInput(msg)
    if rule.decision not in decisions_of(rule.scope):
        msg = (
            f"{known} of scope {rule.scope} decides {rule.decision!r}, which can't be decided there; "
            f"take one of {', '.join(decisions_of(rule.scope))}"
        )
        raise InvalidInput(msg)
    if rule.generic and rule.scope not in ("host", "service"):
        msg = f"{known} of scope {rule.scope} is generic; make it a generic rule of services, or attach it"
        raise InvalidInput(msg)
    if rule.generic and rule.targets:
        msg = f"{known} is generic and attached to {min(rule.targets)[:80]!r}; make it one or the other"
        raise InvalidInput(msg)
    if not rule.conditions and rule.decision != "none":
        msg = f"{known} decides {rule.decision} under no condition, so always; give it at least one condition"
        raise InvalidInput(msg)


def _check_condition(rule: str, condition: Condition, queries: Collection[str]) -> None:
    known = f"a condition of rule {rule[:80]!r}"
    check_field(condition.field, queries=queries)
    if condition.mode not in MODES:
        msg = f"{known} has the value mode {condition.mode!r}; take one of {', '.join(MODES)}"
        raise InvalidInput(msg)
    if condition.operator not in OPERATORS:
        msg = f"{known} has the operator {condition.operator!r}; take one of {' '.join(OPERATORS)}"
        raise InvalidInput(msg)
    if not math.isfinite(condition.value):
        msg = f"{known} compares with {condition.value}; give a finite number"
        raise InvalidInput(msg)
    if not (math.isfinite(condition.margin) and condition.margin >= 0):
        msg = f"{known} has a margin of {condition.margin}; give 0 or more, in the unit of its value"
        raise InvalidInput(msg)
    if condition.margin and condition.operator == "!=":
        msg = f"{known} has a margin of {condition.margin:g} with !=, which has none; give 0"
        raise InvalidInput(msg)
