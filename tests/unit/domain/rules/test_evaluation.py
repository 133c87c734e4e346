"""Which rule decides: levels, priorities, conditions, evidence, hysteresis."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.rules import (
    DECISIONS,
    MODES,
    OPERATORS,
    SHIPPED_RULES,
    Condition,
    Decided,
    Measurements,
    Membership,
    Operator,
    Outcome,
    Rule,
    Scope,
    check_rules,
    evaluate,
)

CPU, SCORE = "cpu-%", "anomaly-score/ecod"
SERVICES = {"cart-1": "cart", "cart-2": "cart", "orders-1": "orders", "db-1": "db"}
APPS = {"shop": ("cart", "orders"), "bank": ("orders",)}


def above(value: float, margin: float = 0.0, field: str = CPU) -> tuple[Condition, ...]:
    return (Condition(field=field, mode="effective", operator=">", value=value, margin=margin),)


def rule(
    name: str,
    scope: Scope = "service",
    *targets: str,
    decision: Decided = "replicate",
    priority: int = 0,
    conditions: tuple[Condition, ...] = above(50),
) -> Rule:
    return Rule(
        name=name,
        scope=scope,
        generic=not targets,
        priority=priority,
        decision=decision,
        conditions=conditions,
        targets=frozenset(targets),
    )


def containers(values: Mapping[str, float], field: str = CPU) -> tuple[Measurements, Membership]:
    measurements, membership = Measurements("container", [field]), Membership(APPS)
    for name, service in SERVICES.items():
        membership.assign(measurements.add(name), service, is_governed=service != "db")
    record(measurements, values, field=field)
    return measurements, membership


def record(
    measurements: Measurements, values: Mapping[str, float], second: int = 0, field: str = CPU
) -> None:
    slots = np.array([measurements.add(name) for name in values])
    measurements.record(
        field, slots, np.array(list(values.values())), np.full(len(slots), second * 1_000_000)
    )


def winners(rules: Sequence[Rule], values: Mapping[str, float]) -> dict[str, str]:
    check_rules(rules)
    measurements, membership = containers(values)
    return named(evaluate(rules, measurements, membership), measurements)


def named(outcome: Outcome, measurements: Measurements) -> dict[str, str]:
    found = {}
    for slot, name in enumerate(measurements.names):
        won = outcome.rule(slot)
        if won is not None:
            found[name] = won.name
    return found


def test_a_container_rule_beats_its_service_s_which_beats_its_apps_which_beats_generic_ones() -> None:
    rules = [
        rule("generic", priority=99),
        rule("of shop", "app", "shop", priority=9),
        rule("of cart", "service", "cart", priority=5),
        rule("of cart-1", "container", "cart-1", priority=-1),
    ]
    values = dict.fromkeys(SERVICES, 60.0)
    assert winners(rules, values) == {"cart-1": "of cart-1", "cart-2": "of cart", "orders-1": "of shop"}
    assert winners(rules[:1], values)["cart-1"] == "generic"


def test_a_more_specific_rule_that_does_not_match_leaves_the_decision_to_the_next_level() -> None:
    rules = [rule("generic"), rule("of cart-1", "container", "cart-1", conditions=above(90))]
    assert winners(rules, {"cart-1": 60}) == {"cart-1": "generic"}


def test_the_highest_priority_decides_and_is_the_rule_that_is_recorded() -> None:
    rules = [
        rule("low", decision="stop", priority=1),
        rule("high", decision="migrate", priority=7),
        rule("middle", decision="replicate", priority=3),
    ]
    measurements, membership = containers({"cart-1": 60})
    outcome = evaluate(rules, measurements, membership)
    assert (outcome.decided(0), outcome.rule(0)) == ("migrate", rules[1])


def test_of_equal_priorities_the_first_by_name_decides() -> None:
    assert winners([rule("b"), rule("a"), rule("c")], {"cart-1": 60}) == {"cart-1": "a"}


def test_containers_of_one_service_each_have_their_own_rules() -> None:
    rules = [rule("first", "container", "cart-1"), rule("second", "container", "cart-2")]
    assert winners(rules, dict.fromkeys(SERVICES, 60.0)) == {"cart-1": "first", "cart-2": "second"}


def test_an_app_and_a_service_of_the_same_name_do_not_get_each_other_s_rules() -> None:
    measurements, membership = containers({"cart-1": 60, "orders-1": 60})
    membership.apps = {"cart": ("orders",)}
    of_app, of_service = rule("app", "app", "cart"), rule("service", "service", "cart")
    assert named(evaluate([of_app, of_service], measurements, membership), measurements) == {
        "cart-1": "service",
        "orders-1": "app",
    }


def test_a_service_of_two_apps_has_the_rules_of_both() -> None:
    rules = [rule("of shop", "app", "shop", priority=1), rule("of bank", "app", "bank", priority=2)]
    assert winners(rules, {"orders-1": 60, "cart-1": 60}) == {"orders-1": "of bank", "cart-1": "of shop"}


def test_rules_of_apps_and_containers_decide_as_those_of_services_do() -> None:
    scopes: list[tuple[Scope, str]] = [("app", "shop"), ("service", "cart"), ("container", "cart-1")]
    for scope, target in scopes:
        for decision in ("none", "replicate", "migrate", "stop"):
            measurements, membership = containers({"cart-1": 60})
            found = evaluate([rule("x", scope, target, decision=decision)], measurements, membership)
            assert found.decided(0) == decision


def test_a_rule_for_none_shields_a_container_from_generic_ones() -> None:
    shield = rule("leave it", "container", "cart-1", decision="none", conditions=())
    measurements, membership = containers(dict.fromkeys(SERVICES, 60.0))
    outcome = evaluate([rule("generic"), shield], measurements, membership)
    assert [DECISIONS[number] for number in outcome.decision] == ["none", "replicate", "replicate", "none"]
    assert (outcome.rule(0), outcome.rule(3)) == (shield, None)


def test_all_conditions_must_hold_and_each_is_evidence_once() -> None:
    both = (*above(50), Condition(field=CPU, mode="deviation-%-on-last", operator=">=", value=100))
    measurements, membership = containers({"cart-1": 30, "cart-2": 50})
    record(measurements, {"cart-1": 60, "cart-2": 90}, second=1)
    outcome = evaluate([rule("grows", conditions=both)], measurements, membership)
    assert named(outcome, measurements) == {"cart-1": "grows"}
    assert [(each.condition.mode, each.value) for each in outcome.evidence(0)] == [
        ("effective", 60),
        ("deviation-%-on-last", 100),
    ]
    assert outcome.evidence(1) == ()


def test_evidence_stays_what_was_compared_when_new_values_come() -> None:
    measurements, membership = containers({"cart-1": 60})
    outcome = evaluate([rule("generic")], measurements, membership)
    record(measurements, {"cart-1": 5}, second=1)
    assert outcome.evidence(0)[0].value == 60


@pytest.mark.parametrize("compared", OPERATORS)
def test_a_value_that_is_not_there_matches_no_operator(compared: Operator) -> None:
    for mode in MODES[1:]:
        condition = replace(above(0)[0], mode=mode, operator=compared)
        assert winners([rule("x", conditions=(condition,))], {"cart-1": 7}) == {}


def test_a_deviation_from_0_matches_nothing_not_even_unequal() -> None:
    measurements, membership = containers({"cart-1": 0})
    record(measurements, {"cart-1": 5}, second=1)
    unequal = Condition(field=CPU, mode="deviation-%-on-last", operator="!=", value=3)
    outcome = evaluate([rule("x", conditions=(unequal,))], measurements, membership)
    assert named(outcome, measurements) == {}


def test_a_field_that_is_not_measured_matches_nothing() -> None:
    assert winners([rule("x", conditions=above(-1, field="latency"))], {"cart-1": 60}) == {}


def test_an_anomaly_score_decides_like_any_other_field() -> None:
    measurements, membership = containers({}, field=SCORE)
    scores = membership.spread({"cart": 7.0}, len(measurements))
    measurements.record(SCORE, np.arange(4), scores, np.zeros(4, np.int64))
    rules = [rule("anomalous", conditions=above(6, field=SCORE))]
    check_rules(rules)
    assert named(evaluate(rules, measurements, membership), measurements) == {
        "cart-1": "anomalous",
        "cart-2": "anomalous",
    }


def test_databases_and_a_host_that_is_not_to_be_touched_are_not_governed() -> None:
    rules = [rule("generic"), rule("attached", "container", "db-1")]
    assert "db-1" not in winners(rules, dict.fromkeys(SERVICES, 60.0))
    hosts, membership = Measurements("host", [CPU]), Membership()
    record(hosts, {"manager": 99, "other": 99})
    membership.assign(0, is_governed=False)
    outcome = evaluate([rule("o", "host", "manager", "other", decision="overload")], hosts, membership)
    assert named(outcome, hosts) == {"other": "o"}


def test_a_rule_of_a_host_beats_generic_ones_of_hosts() -> None:
    hosts = Measurements("host", [CPU])
    record(hosts, {"edge": 60, "cloud": 60})
    generic = Rule(
        name="generic", scope="host", generic=True, priority=9, decision="overload", conditions=above(50)
    )
    own = rule("own", "host", "edge", decision="underload")
    outcome = evaluate([generic, own, rule("of services")], hosts, Membership())
    assert named(outcome, hosts) == {"edge": "own", "cloud": "generic"}


def test_the_shipped_rules_call_a_host_overloaded_whose_processor_and_memory_are_above_90() -> None:
    check_rules(SHIPPED_RULES)
    hosts = Measurements("host", [CPU, "ram-%"])
    slots = np.array([hosts.add(name) for name in ("both", "one", "at 90")])
    hosts.record(CPU, slots, np.array([91.0, 99.0, 90.0]), np.zeros(3, np.int64))
    hosts.record("ram-%", slots, np.array([95.0, 50.0, 99.0]), np.zeros(3, np.int64))
    outcome = evaluate(SHIPPED_RULES, hosts, Membership())
    assert [outcome.decided(slot) for slot in range(3)] == ["overload", "none", "none"]


def test_a_rule_that_fired_stays_matched_until_its_condition_is_left_by_the_margin() -> None:
    rules = [rule("hot", conditions=above(90, margin=10))]
    measurements, membership = containers({"cart-1": 85})
    outcome, found = None, []
    for second, value in enumerate([85, 91, 85, 81, 80, 85, 91]):
        record(measurements, {"cart-1": value}, second=second + 1)
        outcome = evaluate(rules, measurements, membership, outcome)
        found.append(bool(named(outcome, measurements)))
    assert found == [False, True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("compared", "enters", "stays", "leaves"),
    [(">", 91, 81, 80), (">=", 90, 80, 79), ("<", 89, 99, 100), ("<=", 90, 100, 101), ("==", 90, 99, 101)],
)
def test_each_operator_has_its_margin(compared: Operator, enters: float, stays: float, leaves: float) -> None:
    condition = replace(above(90, margin=10)[0], operator=compared)
    rules = [rule("x", conditions=(condition,))]
    for then, expected in ((stays, True), (leaves, False)):
        measurements, membership = containers({"cart-1": enters})
        before = evaluate(rules, measurements, membership)
        record(measurements, {"cart-1": then}, second=1)
        assert bool(named(before, measurements))
        assert bool(named(evaluate(rules, measurements, membership, before), measurements)) is expected
        assert not named(evaluate(rules, measurements, membership), measurements)


def test_a_rule_that_another_one_beats_keeps_its_margin() -> None:
    hot = rule("hot", conditions=above(90, margin=10))
    beats = rule("beats", "container", "cart-1", conditions=above(90))
    measurements, membership = containers({"cart-1": 91})
    before = evaluate([hot, beats], measurements, membership)
    assert named(before, measurements) == {"cart-1": "beats"}
    record(measurements, {"cart-1": 85}, second=1)
    after = evaluate([hot, beats], measurements, membership, before)
    assert named(after, measurements) == {"cart-1": "hot"}


def test_a_new_container_in_the_slot_of_one_that_matched_has_no_margin() -> None:
    rules = [rule("hot", conditions=above(90, margin=10))]
    measurements, membership = containers({"cart-1": 91})
    before = evaluate(rules, measurements, membership)
    measurements.remove("cart-1")
    membership.assign(measurements.add("cart-3"), "cart")
    record(measurements, {"cart-3": 85}, second=1)
    assert named(evaluate(rules, measurements, membership, before), measurements) == {}


def test_no_rules_and_no_entities_decide_nothing() -> None:
    measurements, membership = containers({"cart-1": 60})
    assert evaluate([], measurements, membership).decision.tolist() == [0] * 4
    nobody = evaluate([rule("x")], Measurements("container", [CPU]), Membership())
    assert nobody.decision.tolist() == []


FIELDS = (CPU, SCORE)
NUMBERS = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan])
CONDITIONS = st.builds(
    Condition,
    field=st.sampled_from((*FIELDS, "latency")),
    mode=st.sampled_from(MODES),
    operator=st.sampled_from(OPERATORS),
    value=st.sampled_from([0.0, 1.0, 2.0, 50.0, -50.0]),
    margin=st.just(0.0),
)
TARGETS: dict[Scope, list[str]] = {
    "app": ["shop", "bank", "gone"],
    "service": ["cart", "orders", "db", "gone"],
    "container": ["cart-1", "orders-1", "db-1", "gone"],
}


@st.composite
def some_rules(draw: st.DrawFn) -> list[Rule]:
    rules = []
    for number in range(draw(st.integers(0, 6))):
        scope: Scope = draw(st.sampled_from(list(TARGETS)))
        generic = scope == "service" and draw(st.booleans())
        rules.append(
            Rule(
                name=f"rule-{number}",
                scope=scope,
                generic=generic,
                priority=draw(st.integers(0, 2)),
                decision=draw(st.sampled_from(("none", "replicate", "migrate", "stop"))),
                conditions=tuple(draw(st.lists(CONDITIONS, min_size=1, max_size=3))),
                targets=frozenset() if generic else frozenset(draw(st.sets(st.sampled_from(TARGETS[scope])))),
            )
        )
    return rules


def naive_winner(rules: list[Rule], name: str, series: Mapping[str, list[float]]) -> str | None:
    """The same, one container and one rule at a time."""
    service = SERVICES[name]
    apps = {app for app, services in APPS.items() if service in services}
    mine = {"app": apps, "service": {service}, "container": {name}}
    matching = [
        each
        for each in rules
        if service != "db"
        and (each.generic or each.targets & mine[each.scope])
        and all(naive_holds(condition, series.get(condition.field, [])) for condition in each.conditions)
    ]
    order = ["generic", "app", "service", "container"]
    matching.sort(
        key=lambda each: (-order.index("generic" if each.generic else each.scope), -each.priority, each.name)
    )
    return matching[0].name if matching else None


def naive_holds(condition: Condition, series: list[float]) -> bool:
    values = [value for value in series if not math.isnan(value)]
    if not values or (condition.mode != "effective" and len(values) == 1):
        return False
    present, past = values[-1], values[:-1]
    average = sum(past) / len(past) if past else math.nan
    base = average if condition.mode.endswith("average") else past[-1] if past else math.nan
    if condition.mode.startswith("deviation") and not base:
        return False
    value = {"effective": present, "average": average}.get(condition.mode)
    if value is None:
        value = 100.0 * (present - base) / abs(base)
    compare = {">": "gt", "<": "lt", ">=": "ge", "<=": "le", "==": "eq", "!=": "ne"}[condition.operator]
    return bool(getattr(operator, compare)(value, condition.value))


@given(
    some_rules(),
    st.lists(st.fixed_dictionaries({(n, f): NUMBERS for n in SERVICES for f in FIELDS}), max_size=4),
    st.randoms(use_true_random=False),
)
def test_evaluation_in_columns_is_the_naive_one_whatever_the_order_of_rules(
    rules: list[Rule], steps: list[dict[tuple[str, str], float]], random: Random
) -> None:
    check_rules(rules)
    measurements, membership = containers({})
    measurements.add_field(SCORE)
    for second, step in enumerate(steps):
        for field in FIELDS:
            record(measurements, {name: step[name, field] for name in SERVICES}, second, field)
    expected = {}
    for name in SERVICES:
        series = {field: [step[name, field] for step in steps] for field in FIELDS}
        expected[name] = naive_winner(rules, name, series)
    shuffled = list(rules)
    random.shuffle(shuffled)
    for each in (rules, shuffled):
        found = named(evaluate(each, measurements, membership), measurements)
        assert {name: found.get(name) for name in SERVICES} == expected
