from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.launch_waves import launch_waves
from microservo.errors import InvalidInput

NAMES = st.sampled_from("abcdefgh")
ORDERS = st.dictionaries(NAMES, st.integers(0, 3), min_size=1)
DEPENDENCIES = st.lists(st.tuples(NAMES, NAMES), max_size=20)


def test_what_does_not_depend_on_one_another_is_launched_at_once() -> None:
    assert launch_waves({"a": 0, "b": 0, "c": 5}, []) == (("a", "b", "c"),)


def test_a_service_comes_after_all_that_it_depends_on() -> None:
    found = launch_waves(
        dict.fromkeys(("db", "cache", "cart", "front"), 0),
        [
            ("cart", "db"),
            ("cart", "cache"),
            ("front", "cart"),
            ("front", "cache"),
        ],
    )
    assert found == (("cache", "db"), ("cart",), ("front",))


def test_of_two_that_call_each_other_the_smaller_order_comes_first() -> None:
    both = [("user", "graph"), ("graph", "user")]
    assert launch_waves({"user": 3, "graph": 2}, both) == (("graph",), ("user",))
    assert launch_waves({"user": 2, "graph": 3}, both) == (("user",), ("graph",))


def test_a_cycle_of_one_order_is_refused_and_named() -> None:
    with pytest.raises(InvalidInput, match=r"^cart -> price -> stock -> cart: each waits for the next; give"):
        launch_waves(
            dict.fromkeys(("front", "cart", "price", "stock"), 1),
            [("front", "cart"), ("cart", "price"), ("price", "stock"), ("stock", "cart")],
        )


def test_dependencies_on_itself_and_on_what_is_not_launched_do_not_count() -> None:
    assert launch_waves({"a": 0}, [("a", "a"), ("a", "elsewhere"), ("elsewhere", "a")]) == (("a",),)


@given(ORDERS, DEPENDENCIES)
def test_all_come_once_and_after_what_they_wait_for_or_a_real_cycle_is_named(
    orders: dict[str, int], dependencies: list[tuple[str, str]]
) -> None:
    awaited = [
        (service, other)
        for service, other in dependencies
        if service != other and service in orders and other in orders and orders[other] <= orders[service]
    ]
    try:
        waves = launch_waves(orders, dependencies)
    except InvalidInput as error:
        cycle = str(error).partition(":")[0].split(" -> ")
        assert cycle[0] == cycle[-1]
        assert all(pair in awaited for pair in pairwise(cycle))
        return
    place = {name: number for number, wave in enumerate(waves) for name in wave}
    assert sorted(name for wave in waves for name in wave) == sorted(orders)
    assert all(place[other] < place[service] for service, other in awaited)
    for name, number in place.items():
        needed = [place[other] for service, other in awaited if service == name]
        assert number == max(needed, default=-1) + 1, "no service is launched later than it could be"
