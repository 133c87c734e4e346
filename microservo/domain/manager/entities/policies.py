"""Conditions and rules as people edit and share them, and the manager's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from microservo.domain.manager.entities.values import Count, Latitude, Longitude, Name, Text
from microservo.domain.rules import Condition, Decided, Mode, Operator, Rule, Scope, check_rules
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCondition:
    """A condition that several rules may share; see `rules.Condition`."""

    name: Name
    field: str
    mode: Mode = "effective"
    operator: Operator
    value: float
    margin: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRule:
    """A rule by the names of its conditions; see `rules.Rule`."""

    name: Name
    scope: Scope
    generic: bool = False
    priority: int = 0
    decision: Decided
    conditions: tuple[Name, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the manager keeps to.

    Attributes:
        minimum_hosts: nodes that are never released; likewise `maximum_hosts`, 0 for no limit.
        migration_delay_us: for how long old and new container run side by side.
        component_grace_us: for how long a region without containers keeps its components.
        silence_us: after which a process that sends no heartbeat is taken for down.
        most_recoveries: of a container within `recovery_window_us`, before it is given up.
        most_launches: hosts that are tried for a container.
        evaluation_us: rules are evaluated once within it at the most.
        demand_window_us: how far back requests are looked at.
        gain_percent: how much nearer to demand a migration has to come.
        may_launch_instances: new instances of the cloud may be launched.
        policy: that decides about placement; empty for the one that each process was started with.
        latitude: degrees: where containers go of which nothing says where they are wanted; and `longitude`.
    """

    name: Name = "manager"
    minimum_hosts: Count = 1
    maximum_hosts: Count = 0
    migration_delay_us: Count = 45_000_000
    component_grace_us: Count = 300_000_000
    silence_us: Count = 60_000_000
    most_recoveries: Count = 3
    recovery_window_us: Count = 600_000_000
    most_launches: Count = 5
    evaluation_us: Count = 1_000_000
    demand_window_us: Count = 60_000_000
    gain_percent: float = 10.0
    may_launch_instances: bool = False
    policy: Text = ""
    latitude: Latitude = 49.540486
    longitude: Longitude = 9.881931


def rules_of(
    rules: Collection[NamedRule],
    conditions: Mapping[str, NamedCondition],
    *,
    queries: Collection[str] = (),
) -> tuple[Rule, ...]:
    """The rules with their conditions, by name.

    Args:
        rules: as they are edited.
        conditions: by name.
        queries: names of fields that are registered.

    Raises:
        InvalidInput: a condition doesn't exist, or rules can't be meant, alone or together.
    """
    found = tuple(_rule(rule, conditions) for rule in sorted(rules, key=lambda rule: rule.name))
    check_rules(found, queries=queries)
    return found


def _rule(rule: NamedRule, conditions: Mapping[str, NamedCondition]) -> Rule:
    for name in rule.conditions:
        if name not in conditions:
            known = ", ".join(sorted(conditions)) or "none"
            msg = f"rule {rule.name!r} has the condition {name!r}, which doesn't exist; there are {known}"
            raise InvalidInput(msg)
    return Rule(
        name=rule.name,
        scope=rule.scope,
        generic=rule.generic,
        priority=rule.priority,
        decision=rule.decision,
        conditions=tuple(_condition(conditions[name]) for name in rule.conditions),
        targets=frozenset(rule.targets),
    )


def _condition(named: NamedCondition) -> Condition:
    return Condition(
        field=named.field,
        mode=named.mode,
        operator=named.operator,
        value=named.value,
        margin=named.margin,
    )
