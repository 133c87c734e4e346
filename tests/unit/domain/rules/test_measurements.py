"""Present values, their history, and what conditions compare."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.rules import MODES, Measurements, Membership, Mode
from microservo.errors import InvalidInput


def measured(values: Sequence[float], *, remembers_simulated: bool = False) -> Measurements:
    found = Measurements("container", ["cpu-%"], remembers_simulated=remembers_simulated)
    found.add("cart-1")
    for second, value in enumerate(values):
        record(found, value, second)
    return found


def record(measurements: Measurements, value: float, second: int, slot: int = 0) -> None:
    measurements.record("cpu-%", np.array([slot]), np.array([value]), np.array([second * 1_000_000]))


def compared(measurements: Measurements, mode: Mode) -> float:
    return float(measurements.compared("cpu-%", mode, slice(None))[0])


def history(measurements: Measurements) -> list[float]:
    return [
        float(column[0, 0])
        for column in (
            measurements.count,
            measurements.sum,
            measurements.last,
            measurements.minimum,
            measurements.maximum,
        )
    ]


def test_the_four_value_modes_of_30_after_10_and_20() -> None:
    found = measured([10, 20, 30])
    assert [compared(found, mode) for mode in MODES] == [30, 15, 100, 50]


def test_deviation_on_last_is_measured_against_the_value_before_and_not_always_0() -> None:
    assert compared(measured([80, 40]), "deviation-%-on-last") == -50


def test_the_average_does_not_have_the_present_value_in_it() -> None:
    found = measured([10, 1000])
    assert compared(found, "average") == 10
    assert history(found) == [1, 10, 10, 10, 10]


def test_the_first_value_has_no_history_to_deviate_from() -> None:
    found = measured([10])
    assert compared(found, "effective") == 10
    assert all(math.isnan(compared(found, mode)) for mode in MODES[1:])


def test_a_deviation_from_0_is_undefined() -> None:
    found = measured([0, 5])
    assert compared(found, "average") == 0
    assert math.isnan(compared(found, "deviation-%-on-average"))
    assert math.isnan(compared(found, "deviation-%-on-last"))


def test_more_than_a_negative_value_is_a_positive_deviation() -> None:
    assert compared(measured([-10, -5]), "deviation-%-on-last") == 50


def test_a_record_that_is_read_twice_counts_once() -> None:
    found = measured([10, 20])
    record(found, 20, 1)
    assert history(found) == [1, 10, 10, 10, 10]
    found.expire(10_000_000)
    record(found, 20, 1)
    assert math.isnan(compared(found, "effective"))
    assert history(found)[:2] == [2, 30]


def test_a_late_value_counts_in_the_history_and_is_neither_present_nor_last() -> None:
    found = measured([10])
    record(found, 30, 5)
    record(found, 500, 3)
    assert compared(found, "effective") == 30
    assert history(found) == [2, 510, 10, 10, 500]


def test_what_is_not_finite_is_no_value() -> None:
    found = measured([10, math.nan, math.inf])
    assert compared(found, "effective") == 10
    assert history(found)[0] == 0


def test_an_expired_value_is_history_and_nothing_is_present() -> None:
    found = measured([10])
    found.expire(0)
    assert compared(found, "effective") == 10
    found.expire(1, "cpu-%")
    assert math.isnan(compared(found, "effective"))
    record(found, 40, 9)
    assert compared(found, "deviation-%-on-last") == 300


VALUES = st.lists(
    st.tuples(st.integers(0, 4), st.floats(-100, 100), st.integers(0, 50)),
    max_size=40,
    unique_by=lambda row: row[2],
)


@given(VALUES, st.integers(1, 10))
def test_batches_in_order_of_time_give_what_one_value_after_another_gives(
    rows: list[tuple[int, float, int]], size: int
) -> None:
    rows = sorted(rows, key=lambda row: row[2])
    one_by_one, in_batches = (Measurements("container", ["cpu-%"]) for _ in range(2))
    for measurements in (one_by_one, in_batches):
        for number in range(5):
            measurements.add(f"cart-{number}")
    for slot, value, second in rows:
        record(one_by_one, value, second, slot)
    for first in range(0, len(rows), size):
        slots, values, seconds = (
            np.array(column) for column in zip(*rows[first : first + size], strict=True)
        )
        in_batches.record("cpu-%", slots, values, seconds * 1_000_000)
    for name in ("values", "count", "sum", "last", "minimum", "maximum", "measured_us"):
        np.testing.assert_array_equal(getattr(in_batches, name), getattr(one_by_one, name))


def test_simulated_values_hide_measured_ones_and_stay_out_of_their_history() -> None:
    found = measured([10, 20])
    found.simulate(np.array([[95.0]]))
    assert compared(found, "effective") == 95
    assert not math.isnan(found.simulated[0, 0])
    found.simulate(np.array([[math.nan]]))
    assert compared(found, "effective") == 20
    assert history(found)[:2] == [1, 10]


def test_simulated_values_are_remembered_where_that_is_asked_for() -> None:
    found = measured([10, 20], remembers_simulated=True)
    found.simulate(np.array([[95.0]]))
    found.simulate(np.array([[60.0]]))
    assert history(found) == [2, 105, 95, 10, 95]


def test_a_container_that_gets_the_slot_of_another_one_gets_nothing_of_its_values() -> None:
    found = measured([10, 20])
    serial = int(found.serial[0])
    found.remove("cart-1")
    assert (found.slot_of("cart-1"), found.names) == (None, [""])
    assert found.add("cart-2") == 0
    assert history(found)[0] == 0
    assert math.isnan(compared(found, "effective"))
    assert int(found.serial[0]) > serial
    found.remove("cart-1")
    assert found.slot_of("cart-2") == 0


def test_fields_and_containers_are_added_while_values_stay() -> None:
    found = measured([10, 20])
    found.add_field("anomaly-score/ecod")
    slots = [found.add(f"more-{number}") for number in range(100)]
    assert slots == list(range(1, 101))
    assert found.add("cart-1") == 0
    assert history(found)[:2] == [1, 10]
    assert found.values.shape == (2, 101)
    assert np.isnan(found.values[1]).all()


def test_a_field_that_nobody_added_and_an_entity_without_a_name_are_refused() -> None:
    found = measured([10])
    with pytest.raises(InvalidInput, match="nobody measures 'ram' of a container; add the field"):
        found.record("ram", np.array([0]), np.array([1.0]), np.array([0]))
    with pytest.raises(InvalidInput, match="a container without a name"):
        found.add("")


def test_the_score_of_a_service_is_spread_over_its_containers() -> None:
    membership = Membership()
    for slot, service in enumerate(["cart", "orders", "cart", ""]):
        membership.assign(slot, service)
    found = membership.spread({"cart": 3.5, "unknown": 9.0}, 5)
    np.testing.assert_array_equal(found, [3.5, math.nan, 3.5, math.nan, math.nan])
