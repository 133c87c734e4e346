"""Where the demand for a service comes from."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.geography import (
    Coordinates,
    DemandCentre,
    DemandWindow,
    RequestCounts,
    demand_centre,
    distance_m,
)
from microservo.errors import InvalidInput

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
Row = tuple[float, float, int, int]
ROWS = st.lists(
    st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 1000), st.integers(0, MINUTE_US - 1)),
    max_size=30,
)


def counts(rows: list[Row]) -> RequestCounts:
    return RequestCounts(
        latitude=np.array([row[0] for row in rows], np.float64),
        longitude=np.array([row[1] for row in rows], np.float64),
        count=np.array([row[2] for row in rows], np.int64),
        at_us=np.array([row[3] for row in rows], np.int64),
    )


def centre(*rows: tuple[float, float, int]) -> DemandCentre:
    found = demand_centre(counts([(*row, 0) for row in rows]))
    assert found is not None
    return found


def place(found: DemandCentre | None) -> tuple[float, float]:
    assert found is not None
    return round(found.coordinates.latitude, 6), round(found.coordinates.longitude, 6)


def test_the_centre_is_the_weighted_mean_on_the_sphere() -> None:
    assert place(centre((0, 0, 1), (0, 90, 1))) == (0, 45)
    # Worked out by hand: atan2(1, 3) from the place with three times as many requests.
    assert place(centre((0, 0, 3), (0, 90, 1))) == (0, round(math.degrees(math.atan2(1, 3)), 6))
    assert place(centre((60, 0, 1), (60, 180, 1))) == (90, 0)


def test_the_mean_of_places_on_both_sides_of_the_date_line_lies_on_it() -> None:
    assert abs(place(centre((10, 179, 1), (10, -179, 1)))[1]) == 180


def test_requests_from_greenwich_and_the_equator_are_not_dropped() -> None:
    assert place(centre((51.4779, 0, 5))) == (51.4779, 0)
    assert place(centre((0, 32.58, 5))) == (0, 32.58)
    assert place(centre((0, 0, 5))) == (0, 0)


def test_concentration_is_1_for_one_place_and_tells_how_far_demand_is_spread() -> None:
    assert centre((10, 20, 7)).concentration == pytest.approx(1)
    assert centre((0, 0, 1), (0, 90, 1)).concentration == pytest.approx(math.sqrt(0.5))


def test_demand_at_antipodes_has_no_centre_and_the_place_of_most_demand_stands_for_it() -> None:
    found = centre((0, 170, 1), (0, -10, 1), (0, 80, 1), (0, -100, 1))
    assert found.is_degenerate
    assert found.concentration == pytest.approx(0, abs=1e-9)
    # All have as much: the most southern, then the most western.
    assert place(found) == (0, -100)
    slightly_more = centre((30, 20, 1000), (-30, -160, 1001))
    assert slightly_more.is_degenerate
    assert place(slightly_more) == (-30, -160)


def test_without_requests_there_is_no_centre() -> None:
    assert demand_centre(counts([])) is None
    assert demand_centre(counts([(10, 10, 0, 0)])) is None
    assert DemandWindow(window_us=MINUTE_US).centre(now_us=0) is None


def test_the_window_gives_a_centre_of_what_was_fed_to_it_without_any_interval() -> None:
    window = DemandWindow(window_us=MINUTE_US)
    window.add(counts([(38.72, -9.14, 4, 1_000), (38.72, -9.14, 6, 2_000)]), now_us=2_000)
    found = window.centre(now_us=2_000)
    assert found is not None
    assert found.requests == 10
    assert distance_m(found.coordinates, Coordinates(38.72, -9.14)) < 0.1


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_batches_do_not_change_the_centre_by_a_digit(
    rows: list[Row], random: Random, size: int
) -> None:
    whole, parts = DemandWindow(window_us=MINUTE_US), DemandWindow(window_us=MINUTE_US)
    now_us = MINUTE_US - 1
    whole.add(counts(rows), now_us=now_us)
    shuffled = list(rows)
    random.shuffle(shuffled)
    for first in range(0, len(rows), size):
        parts.add(counts(shuffled[first : first + size]), now_us=now_us)
    assert parts.centre(now_us=now_us) == whole.centre(now_us=now_us)


@given(ROWS)
def test_the_window_has_the_centre_of_its_rows(rows: list[Row]) -> None:
    window = DemandWindow(window_us=MINUTE_US)
    window.add(counts(rows), now_us=MINUTE_US - 1)
    of_window, of_rows = window.centre(now_us=MINUTE_US - 1), demand_centre(counts(rows))
    if of_rows is None or of_window is None:
        assert of_window is of_rows
        return
    assert of_window.requests == of_rows.requests
    assert of_window.concentration == pytest.approx(of_rows.concentration, abs=1e-7)
    if not (of_rows.is_degenerate or of_window.is_degenerate):
        assert distance_m(of_window.coordinates, of_rows.coordinates) < 10


def test_what_is_older_than_the_window_moves_out_of_it() -> None:
    window = DemandWindow(window_us=MINUTE_US, slices=6)
    window.add(counts([(50, 10, 100, 0)]), now_us=0)
    window.add(counts([(35, 95, 1, 50 * SECOND_US)]), now_us=50 * SECOND_US)
    assert place(window.centre(now_us=50 * SECOND_US))[1] < 20
    assert place(window.centre(now_us=60 * SECOND_US)) == (35, 95)
    assert window.centre(now_us=200 * SECOND_US) is None


def test_late_is_who_is_late_by_event_time() -> None:
    window = DemandWindow(window_us=MINUTE_US, slices=6)
    window.add(counts([(50, 10, 1, 1000 * SECOND_US)]), now_us=1000 * SECOND_US)
    window.add(counts([(35, 95, 7, 900 * SECOND_US), (35, 95, 2, 955 * SECOND_US)]), now_us=901 * SECOND_US)
    found = window.centre(now_us=0)
    assert window.late == 7
    assert found is not None
    assert found.requests == 3


def test_one_row_from_the_far_future_does_not_make_all_others_late() -> None:
    window = DemandWindow(window_us=MINUTE_US)
    window.add(counts([(50, 10, 3, 10**15), (50, 10, 1, SECOND_US)]), now_us=SECOND_US)
    window.add(counts([(50, 10, 1, 2 * SECOND_US)]), now_us=2 * SECOND_US)
    found = window.centre(now_us=2 * SECOND_US)
    assert (window.ahead, window.late) == (3, 0)
    assert found is not None
    assert found.requests == 2


def test_memory_is_bounded_by_cells_and_slices_not_by_requests_or_places() -> None:
    window = DemandWindow(window_us=MINUTE_US, slices=2)
    chance = np.random.default_rng(3)
    for second in range(200):
        size = 500
        window.add(
            RequestCounts(
                latitude=50 + chance.random(size),
                longitude=10 + 2 * chance.random(size),
                count=np.ones(size, np.int64),
                at_us=np.full(size, second * SECOND_US),
            ),
            now_us=second * SECOND_US,
        )
    # Two cells or their neighbours by rounding, in two slices and one that is on its way out.
    assert len(window._keys) <= 3 * 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((91.0, 0.0, 1, 0), "row 0 has 1 requests at latitude 91"),
        ((math.nan, 0.0, 1, 0), "at latitude nan"),
        ((0.0, 0.0, -1, 0), "row 0 has -1 requests"),
        ((0.0, 0.0, 10**12, 0), "give 0 to 10000000"),
    ],
)
def test_a_row_that_can_not_be_is_refused_with_its_place(row: Row, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        counts([row])


def test_columns_of_different_lengths_and_windows_without_steps_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\[1, 1, 1, 0\] rows"):
        RequestCounts(
            latitude=np.zeros(1),
            longitude=np.zeros(1),
            count=np.zeros(1, np.int64),
            at_us=np.zeros(0, np.int64),
        )
    with pytest.raises(InvalidInput, match="a window of 100 us"):
        DemandWindow(window_us=100)
