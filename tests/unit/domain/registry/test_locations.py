from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.registry.locations import LocationCounts, Place
from schemas.codec import decode, encode
from schemas.records import RequestLocations

S = 1_000_000
BERLIN = Place("cart", 52.5, 13.4, 1)
NOWHERE = Place("cart", 0.0, 0.0, 1)


def summed(records: list[RequestLocations]) -> Counter[tuple[str, float, float]]:
    found: Counter[tuple[str, float, float]] = Counter()
    for each in records:
        for latitude, longitude, count in zip(each.latitudes, each.longitudes, each.counts, strict=True):
            found[each.service, latitude, longitude] += count
    return found


def test_a_second_becomes_one_record_per_service_with_a_row_per_place() -> None:
    counts = LocationCounts("europe", 0)
    counts.add([BERLIN, NOWHERE, BERLIN, Place("front", 52.5, 13.4, 7)], S // 2)
    counts.close_interval(S)
    cart, front = counts.take_unwritten()
    assert (cart.service, cart.from_us, cart.to_us, cart.registry) == ("cart", 0, S, "europe")
    assert (cart.latitudes, cart.longitudes, cart.counts) == ((52.5, 0.0), (13.4, 0.0), (2, 1))
    assert front.counts == (7,)
    assert decode(encode(cart)) == cart
    assert counts.take_unwritten() == []


def test_a_count_counts_as_often_as_it_says() -> None:
    counts = LocationCounts("europe", 0)
    counts.add([BERLIN._replace(requests=1000)], 1)
    assert counts.totals(S, 2) == {"cart": [BERLIN._replace(requests=1000)]}


def test_nothing_is_left_out_for_its_place_on_the_equator_or_in_greenwich() -> None:
    counts = LocationCounts("europe", 0)
    counts.add([NOWHERE], 1)
    assert counts.totals(S, 2) == {"cart": [NOWHERE]}


def test_totals_are_of_the_window_and_no_older() -> None:
    counts = LocationCounts("europe", 0)
    for second in range(1, 11):
        counts.add([BERLIN], second * S)
        counts.close_interval(second * S)
    assert counts.totals(3 * S, 10 * S) == {"cart": [BERLIN._replace(requests=3)]}
    assert counts.totals(60 * S, 10 * S) == {"cart": [BERLIN._replace(requests=10)]}
    assert counts.totals(60 * S, 1000 * S) == {}


def test_the_newest_rows_come_first_and_not_more_than_asked_for() -> None:
    counts = LocationCounts("europe", 0)
    counts.add([BERLIN, NOWHERE], 1)
    counts.close_interval(S)
    counts.add([Place("front", 1.0, 2.0, 3)], S + 1)
    rows = counts.newest(2, 2 * S)
    assert rows == [(2 * S, Place("front", 1.0, 2.0, 3)), (S, NOWHERE)]


def test_memory_is_bounded_whatever_comes_and_what_is_lost_is_counted() -> None:
    counts = LocationCounts("europe", 0, most_open=10, most_kept=100)
    counts.add((Place(f"s{number}", 1.0, 2.0, 1) for number in range(1000)), S)
    assert len(counts.newest(10_000, S)) <= 110
    written = sum(len(each.counts) for each in counts.take_unwritten())
    assert written <= 110
    assert written + counts.take_lost() == 1000
    assert counts.take_lost() == 0


def test_old_rows_are_forgotten() -> None:
    counts = LocationCounts("europe", 0, kept_us=10 * S)
    counts.add([BERLIN], 1)
    counts.close_interval(S)
    counts.close_interval(12 * S)
    assert counts.newest(10, 12 * S) == []


def test_intervals_never_begin_at_the_same_instant() -> None:
    counts = LocationCounts("europe", 5)
    for _ in range(3):
        counts.add([BERLIN], 5)
        counts.close_interval(5)
    starts = [each.from_us for each in counts.take_unwritten()]
    assert len(set(starts)) == 3


@given(
    st.lists(
        st.lists(
            st.builds(
                Place,
                st.sampled_from(["cart", "front"]),
                st.sampled_from([0.0, 1.5]),
                st.sampled_from([-0.5, 0.0]),
                st.integers(1, 100),
            )
        )
    )
)
def test_every_request_is_written_once_however_the_seconds_fall(seconds: list[list[Place]]) -> None:
    counts, written = LocationCounts("europe", 0, most_open=3), []
    expected: Counter[tuple[str, float, float]] = Counter()
    for number, places in enumerate(seconds, 1):
        counts.add(places, number * S)
        counts.close_interval(number * S)
        written += counts.take_unwritten()
        for place in places:
            expected[place[:3]] += place.requests
    assert summed(written) == expected
