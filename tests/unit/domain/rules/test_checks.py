"""Rules and simulated metrics that can't be meant are refused with the way out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from microservo.domain.rules import (
    FIELDS,
    Condition,
    Rule,
    SimulatedMetric,
    check_field,
    check_rules,
    check_simulated,
)
from microservo.errors import InvalidInput

HOT: dict[str, Any] = {"field": "cpu-%", "mode": "effective", "operator": ">", "value": 90.0}
RULE: dict[str, Any] = {
    "name": "hot",
    "scope": "service",
    "decision": "replicate",
    "conditions": (Condition(**HOT),),
}
METRIC: dict[str, Any] = {
    "name": "noise",
    "scope": "service",
    "field": "latency",
    "minimum": 1.0,
    "maximum": 2.0,
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": " "}, "has no name; give one"),
        ({"scope": "planet"}, "rule 'hot' has scope 'planet'; take one of host, app, service, container"),
        ({"decision": "overload"}, "decides 'overload', which .* take one of none, replicate, migrate, stop"),
        ({"scope": "host"}, "decides 'replicate', which .* take one of none, overload, underload"),
        ({"scope": "app", "generic": True}, "make it a generic rule of services, or attach it"),
        ({"generic": True, "targets": frozenset({"cart"})}, "is generic and attached to 'cart'"),
        ({"conditions": ()}, "under no condition, so always; give it at least one"),
    ],
)
def test_a_rule_that_can_not_be_meant_is_refused(changes: dict[str, Any], reason: str) -> None:
    check_rules([Rule(**RULE)])
    with pytest.raises(InvalidInput, match=reason):
        check_rules([Rule(**{**RULE, **changes})])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"field": "cpuu"},
            "there is no field 'cpuu'; take one of bandwidth-%, cpu, .*register a Prometheus",
        ),
        ({"mode": "avg-val"}, "value mode 'avg-val'; take one of effective, average, deviation-%"),
        ({"operator": "=>"}, "has the operator '=>'; take one of == != > < >= <="),
        ({"value": math.nan}, "compares with nan; give a finite number"),
        ({"margin": -1.0}, "has a margin of -1.0; give 0 or more"),
        ({"operator": "!=", "margin": 1.0}, "a margin of 1 with !=, which has none; give 0"),
    ],
)
def test_a_condition_that_can_not_be_meant_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        check_rules([Rule(**{**RULE, "conditions": (Condition(**{**HOT, **changes}),)})])


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"2 rules are named 'hot'.*rename"):
        check_rules([Rule(**RULE), Rule(**{**RULE, "scope": "container"})])


def test_fields_are_the_listed_ones_algorithms_and_registered_queries() -> None:
    assert [field.name for field in FIELDS] == [
        "cpu",
        "ram",
        "cpu-%",
        "ram-%",
        "rx-bytes",
        "tx-bytes",
        "rx-bytes-per-sec",
        "tx-bytes-per-sec",
        "latency",
        "bandwidth-%",
        "filesystem-available-space",
    ]
    for name in ("cpu", "anomaly-score/robust-z", "root-cause-rank/baro"):
        check_field(name)
    check_field("queue-length", queries={"queue-length"})
    for name in ("queue-length", "anomaly-score/", "root-cause-rank"):
        with pytest.raises(InvalidInput, match="there is no field"):
            check_field(name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "a simulated metric of 'latency' has no name"),
        ({"scope": "planet"}, "has scope 'planet'"),
        ({"field": "lag"}, "there is no field 'lag'"),
        ({"scope": "container", "generic": True}, "make it a generic one of services"),
        ({"generic": True, "targets": frozenset({"cart"})}, "is generic and attached to 'cart'"),
        ({"minimum": 3.0}, "is from 3 to 2; give the smaller one first"),
        ({"maximum": math.inf}, "is from 1.0 to inf; give two finite numbers"),
    ],
)
def test_a_simulated_metric_that_can_not_be_meant_is_refused(changes: dict[str, Any], reason: str) -> None:
    check_simulated([SimulatedMetric(**METRIC)])
    with pytest.raises(InvalidInput, match=reason):
        check_simulated([SimulatedMetric(**{**METRIC, **changes})])


def test_two_simulated_metrics_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2 simulated metrics are named 'noise'"):
        check_simulated([SimulatedMetric(**METRIC)] * 2)
