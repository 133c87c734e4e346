from __future__ import annotations

import math
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from registrations import registration

from microservo.domain.geography import Coordinates, distance_m
from microservo.domain.registry.instances import columns_of
from microservo.domain.registry.selection import Found, Selection, choose
from microservo.errors import InvalidInput
from schemas.records import Registration

LISBON = Coordinates(38.72, -9.14)
PLACES = {
    "lisbon": (38.72, -9.14),
    "porto": (41.16, -8.63),  # 275 km from Lisbon
    "madrid": (40.42, -3.70),  # 503 km
    "tokyo": (35.68, 139.69),  # 11,000 km
}
FOUR = [registration(name, latitude=place[0], longitude=place[1]) for name, place in PLACES.items()]
places = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))


def chosen(records: list[Registration], selection: Selection, *, place: Coordinates = LISBON) -> Counter[str]:
    """How often each instance is given out when it is asked for 300 times."""
    columns, random = columns_of(records), Random(7)
    found = [choose(columns, place, selection, random) for _ in range(300)]
    return Counter(each.record.instance for each in found if each is not None)


def test_the_closest_instance_is_given_out() -> None:
    assert chosen(FOUR, Selection()) == {"lisbon": 300}
    assert chosen(FOUR, Selection(), place=Coordinates(34.7, 135.5)) == {"tokyo": 300}


def test_where_there_is_no_instance_none_is_given_out() -> None:
    assert choose(columns_of([]), LISBON, Selection(by="load"), Random(1)) is None


def test_among_the_two_closest_each_is_given_out_about_as_often() -> None:
    found = chosen(FOUR, Selection(among=2))
    assert found.keys() == {"lisbon", "porto"}
    assert min(found.values()) > 120


def test_among_more_than_there_are_is_among_all() -> None:
    assert chosen(FOUR, Selection(among=100)).keys() == PLACES.keys()


def test_the_range_is_multiplied_by_the_factor_until_there_is_an_instance() -> None:
    asker = Coordinates(41.16, -8.63)
    alone = [each for each in FOUR if each.instance != "porto"]
    # 100, 200, 400 km: only Lisbon, 275 km away, is within; Madrid, 421 km, is not.
    assert chosen(alone, Selection(distance_m=100_000), place=asker) == {"lisbon": 300}
    # 100, 500 km: both are.
    five = Selection(distance_m=100_000, factor=5)
    assert chosen(alone, five, place=asker).keys() == {"lisbon", "madrid"}


def test_the_same_seed_gives_the_same_instances() -> None:
    def drawn(seed: int) -> list[Found | None]:
        random, columns = Random(seed), columns_of(FOUR)
        return [choose(columns, LISBON, Selection(among=4), random) for _ in range(50)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_of_equally_close_instances_the_first_by_name_is_the_closest() -> None:
    twins = [registration(name) for name in ("b", "c", "a")]
    assert chosen(twins, Selection()) == {"a": 300}
    assert chosen(twins, Selection(among=2)).keys() == {"a", "b"}


def test_load_gives_a_busy_instance_little_and_a_full_one_nothing() -> None:
    three = [registration("busy", load=0.8), registration("full", load=1.7), registration("idle", load=0.0)]
    found = chosen(three, Selection(by="load"))
    assert found.keys() == {"busy", "idle"}
    assert 25 < found["busy"] < 80  # a sixth of 300 is expected


def test_where_all_are_full_by_load_each_has_the_same_chance() -> None:
    assert (
        min(chosen([registration("a", load=1), registration("b", load=2)], Selection(by="load")).values())
        > 100
    )


def test_without_load_the_closest_gets_everything_and_with_it_its_neighbours_share() -> None:
    near = [registration("a"), registration("b", latitude=49.6), registration("c", latitude=60.0)]
    place = Coordinates(49.5, 9.9)
    assert chosen(near, Selection(), place=place) == {"a": 300}
    assert chosen(near, Selection(by="load"), place=place).keys() == {"a", "b"}


def test_what_is_drained_or_unhealthy_is_never_given_out() -> None:
    records = [
        registration("a", draining=True),
        registration("b", healthy=False),
        registration("c", latitude=-30.0),
    ]
    for selection in (Selection(), Selection(among=3), Selection(by="load"), Selection(distance_m=10)):
        assert chosen(records, selection) == {"c": 300}
    assert not columns_of(records[:2]).records


def test_what_a_silent_registry_said_counts_only_where_nothing_better_is_known() -> None:
    records = [registration("near", registry="europe"), registration("far", registry="asia", latitude=-30.0)]
    assert [each.instance for each in columns_of(records, {"europe"}).records] == ["far"]
    assert [each.instance for each in columns_of(records, {"europe", "asia"}).records] == ["far", "near"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"among": 0}, "among 0; expected 1 to"),
        ({"among": 2, "distance_m": 5.0}, "give one of them"),
        ({"distance_m": 0.0}, "a distance of 0 m; expected 1 m"),
        ({"distance_m": math.nan}, "a distance of nan m"),
        ({"distance_m": 5.0, "factor": 1.0}, "a factor of 1; expected 1.1"),
        ({"factor": math.inf}, "a factor of inf"),
    ],
)
def test_what_can_not_be_asked_for_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Selection(**arguments)  # type: ignore[arg-type]


@given(
    st.lists(places, min_size=1, max_size=30), places, st.integers(1, 40), st.floats(1, 2e7), st.integers()
)
def test_whatever_is_chosen_is_among_those_that_may_be(
    where: list[Coordinates], place: Coordinates, among: int, distance: float, seed: int
) -> None:
    records = [
        registration(f"i{number:02}", latitude=each.latitude, longitude=each.longitude)
        for number, each in enumerate(where)
    ]
    columns = columns_of(records)
    away = sorted(distance_m(place, each) for each in where)

    def metres(selection: Selection) -> float:
        found = choose(columns, place, selection, Random(seed))
        assert found is not None
        return found.distance_m

    assert metres(Selection()) == away[0]
    assert metres(Selection(among=among)) <= away[min(among, len(away)) - 1]
    in_range = metres(Selection(distance_m=distance))
    assert in_range <= distance or in_range <= 2 * away[0]
    assert np.isfinite(metres(Selection(by="load")))
