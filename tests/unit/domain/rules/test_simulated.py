"""Simulated metrics: levels, override, seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.rules import (
    Condition,
    Measurements,
    Membership,
    Rule,
    Scope,
    SimulatedMetric,
    evaluate,
    simulated_values,
)

RATE = "rx-bytes-per-sec"


def metric(name: str, value: float, scope: Scope = "service", *targets: str, **more: Any) -> SimulatedMetric:
    return SimulatedMetric(
        name=name,
        scope=scope,
        field=more.pop("field", RATE),
        minimum=value,
        maximum=more.pop("maximum", value),
        generic=not targets,
        targets=frozenset(targets),
        **more,
    )


def scene(**measured: float) -> tuple[Measurements, Membership]:
    measurements, membership = Measurements("container", [RATE, "latency"]), Membership({"shop": ("cart",)})
    for name, service in (("cart-1", "cart"), ("cart-2", "cart"), ("db-1", "db")):
        membership.assign(measurements.add(name), service, is_governed=service != "db")
    for name, value in measured.items():
        slot = measurements.slot_of(name.replace("_", "-"))
        measurements.record(RATE, np.array([slot]), np.array([value]), np.array([0]))
    return measurements, membership


def drawn(*metrics: SimulatedMetric, seed: int = 1, at_us: int = 0, **measured: float) -> list[float]:
    measurements, membership = scene(**measured)
    found = simulated_values(metrics, measurements, membership, seed=seed, at_us=at_us)
    return [float(value) for value in found[0]]


def assert_drawn(found: list[float], *expected: float | None) -> None:
    assert [None if math.isnan(value) else value for value in found] == list(expected)


def test_later_levels_win_also_without_override() -> None:
    app, generic = metric("a", 1, "app", "shop", override=True), metric("b", 2)
    service, container = metric("c", 3, "service", "cart"), metric("d", 4, "container", "cart-1")
    assert_drawn(drawn(app), 1, 1, None)
    assert_drawn(drawn(app, generic), 2, 2, 2)
    assert_drawn(drawn(service, generic, app), 3, 3, 2)
    assert_drawn(drawn(container, service, generic, app), 4, 3, 2)


def test_a_measured_value_is_hidden_only_by_a_metric_that_overrides() -> None:
    app, container = metric("a", 1, "app", "shop", override=True), metric("d", 4, "container", "cart-1")
    assert_drawn(drawn(container, cart_1=70), None, None, None)
    assert_drawn(drawn(app, container, cart_1=70), 1, 1, None)


def test_a_metric_of_an_app_also_hides_a_measured_rate() -> None:
    assert_drawn(drawn(metric("a", 1, "app", "shop", override=True), cart_1=70, cart_2=80), 1, 1, None)


def test_one_that_is_not_active_or_of_another_field_or_of_hosts_simulates_nothing() -> None:
    off, other = metric("a", 1, active=False), metric("b", 1, field="bandwidth-%")
    assert_drawn(drawn(off, other, metric("c", 1, "host", "cart-1")), None, None, None)


def test_of_two_at_one_level_the_last_by_name_wins_in_any_order() -> None:
    first, last = metric("a", 1), metric("b", 2)
    assert drawn(first, last) == drawn(last, first) == [2, 2, 2]


def test_hosts_have_generic_and_attached_ones() -> None:
    hosts = Measurements("host", [RATE])
    hosts.add("edge")
    hosts.add("cloud")
    generic = SimulatedMetric(name="z", scope="host", field=RATE, minimum=1, maximum=1, generic=True)
    found = simulated_values([metric("a", 2, "host", "edge"), generic], hosts, Membership(), seed=1, at_us=0)
    assert found.tolist() == [[2, 1]]


@given(st.floats(-1e308, 1e308), st.floats(-1e308, 1e308), st.integers(0, 2**62), st.integers())
def test_values_lie_between_the_bounds(a: float, b: float, at_us: int, seed: int) -> None:
    low, high = min(a, b), max(a, b)
    for value in drawn(metric("x", low, maximum=high), at_us=at_us, seed=seed):
        assert low <= value <= high


def test_the_same_seed_metric_container_and_instant_draw_the_same_and_others_another() -> None:
    base = metric("x", 0, maximum=1)
    found = drawn(base)
    assert drawn(base) == found
    assert len({*found, *drawn(base, seed=2), *drawn(base, at_us=1), *drawn(metric("y", 0, maximum=1))}) == 12
    # Not by the slot: a container keeps its values when others go.
    measurements, membership = scene()
    measurements.remove("cart-1")
    after = simulated_values([base], measurements, membership, seed=1, at_us=0)[0]
    assert after[1:].tolist() == found[1:]
    assert math.isnan(after[0])


def test_values_are_spread_evenly() -> None:
    measurements = Measurements("container", [RATE])
    for number in range(20_000):
        measurements.add(f"c-{number}")
    found = simulated_values([metric("x", 0, maximum=1)], measurements, Membership(), seed=1, at_us=0)[0]
    shares = np.histogram(found, bins=10, range=(0, 1))[0] / len(found)
    assert np.abs(shares - 0.1).max() < 0.01


def test_a_rule_fires_on_a_simulated_value_and_its_mark_says_that_it_is_one() -> None:
    measurements, membership = scene(cart_1=10)
    hot = Condition(field=RATE, mode="effective", operator=">", value=500_000)
    rules = [Rule(name="hot", scope="service", generic=True, decision="replicate", conditions=(hot,))]
    simulated = metric("x", 600_000, "container", "cart-1", override=True)
    measurements.simulate(simulated_values([simulated], measurements, membership, seed=1, at_us=0))
    outcome = evaluate(rules, measurements, membership)
    assert [outcome.decided(slot) for slot in range(3)] == ["replicate", "none", "none"]
    assert (~np.isnan(measurements.simulated[0])).tolist() == [True, False, False]
    assert measurements.values[0, 0] == 10
