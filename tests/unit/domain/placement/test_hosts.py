"""Which host is chosen, and why each other one was passed over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placed import GB, host, hosts_of, inactive

from microservo.domain.geography import (
    EARTH_RADIUS_M,
    SEVEN_REGIONS,
    AwsRegion,
    Coordinates,
    Region,
    distances_m,
    main_aws_region,
)
from microservo.domain.placement import (
    Choice,
    Need,
    NoHost,
    choose_host,
    choose_host_of_region,
    choose_node,
)
from microservo.errors import InvalidInput

HERE = Coordinates(0, 0)
EUROPE, ASIA = SEVEN_REGIONS[0], SEVEN_REGIONS[5]
NEED = Need(memory_bytes=GB)
DEGREE_M = math.radians(1) * EARTH_RADIUS_M


def cloud_at(longitude: float) -> list[AwsRegion]:
    return [AwsRegion(code="far-1", name="Far", centre=Coordinates(0, longitude))]


def chosen(*rows: dict[str, Any], launch_at: float | None = None, **more: Any) -> Choice:
    found = choose_host(
        HERE, hosts_of(rows), NEED, aws_regions=[] if launch_at is None else cloud_at(launch_at), **more
    )
    assert isinstance(found, Choice)
    return found


def node(name: str, longitude: float, **more: Any) -> dict[str, Any]:
    return host(name, longitude=longitude, **more)


def edge(name: str, longitude: float, **more: Any) -> dict[str, Any]:
    return inactive(name, longitude=longitude, is_edge=True, **more)


def cloud(name: str, longitude: float, **more: Any) -> dict[str, Any]:
    return inactive(name, longitude=longitude, **more)


def test_the_nearest_node_with_room_is_chosen_and_is_ready_at_once() -> None:
    found = chosen(node("full", 1, cpu_percent=95.0), node("far", 3), node("near", 2))
    assert (found.kind, found.host, found.index) == ("node", "near", 2)
    assert found.distance_m == pytest.approx(2 * DEGREE_M)
    assert (found.must_start, found.must_join) == (False, False)


@pytest.mark.parametrize(
    ("node_at", "rows", "launch_at", "expected"),
    [
        (12.49, [edge("e", 10)], None, "node"),
        (12.51, [edge("e", 10)], None, "edge"),
        (12.49, [cloud("c", 10)], None, "node"),
        (12.51, [cloud("c", 10)], None, "cloud"),
        (14.99, [], 10.0, "node"),
        (15.01, [], 10.0, "new"),
        # Both inactive ones have to be far enough for the node.
        (12.0, [edge("e", 9), cloud("c", 20)], None, "edge"),
        (12.0, [edge("e", 20), cloud("c", 9)], None, "cloud"),
        (50.0, [edge("e", 10), cloud("c", 10)], None, "edge"),
        (50.0, [edge("e", 14.9), cloud("c", 20)], 10.0, "edge"),
        (50.0, [edge("e", 15.1), cloud("c", 20)], 10.0, "new"),
        (50.0, [edge("e", 20), cloud("c", 14.9)], 10.0, "cloud"),
    ],
)
def test_a_node_may_be_125_per_cent_as_far_as_an_inactive_host_and_all_150_as_far_as_a_new_one(
    node_at: float, rows: list[dict[str, Any]], launch_at: float | None, expected: str
) -> None:
    assert chosen(node("n", node_at), *rows, launch_at=launch_at).kind == expected


def test_an_inactive_edge_host_is_chosen_also_where_there_is_no_inactive_cloud_host() -> None:
    assert chosen(edge("e", 1), launch_at=90).host == "e"
    assert chosen(node("n", 50), edge("e", 1), launch_at=90).host == "e"


def test_an_inactive_host_says_that_it_must_be_started_and_joined() -> None:
    off = chosen(edge("off", 1))
    assert (off.must_start, off.must_join) == (True, True)
    running = chosen(cloud("on", 1, is_running=True))
    assert (running.must_start, running.must_join) == (False, True)


def test_a_new_instance_is_launched_in_the_nearest_region_of_the_cloud() -> None:
    found = chosen(launch_at=20)
    assert (found.kind, found.host, found.index, found.aws_region) == ("new", "", -1, "far-1")
    assert (found.must_start, found.must_join) == (True, True)
    assert found.distance_m == pytest.approx(20 * DEGREE_M)
    lisbon = choose_host(Coordinates(38.72, -9.14), hosts_of([host("other end", latitude=-40.0)]), NEED)
    assert isinstance(lisbon, Choice)
    assert lisbon.aws_region == "eu-west-3"


def test_a_migration_never_goes_to_the_host_that_it_comes_from() -> None:
    found = chosen(node("source", 0), node("other", 5), excluded={"source"})
    assert found.host == "other"
    assert found.reason(0) == "excluded"


def test_of_hosts_at_the_same_distance_the_first_by_name_is_chosen() -> None:
    assert chosen(node("c", 1), node("a", -1), node("b", 1)).host == "a"


def test_each_host_that_was_passed_over_has_a_reason() -> None:
    hosts = hosts_of(
        [
            node("a", 1, memory_available=GB),
            node("b", 1, cpu_percent=95.0),
            node("c", 1, disk_available=-1.0),
            node("d", 1, cpu_percent=math.nan),
            node("e", 1, is_ready=False),
            node("f", 9),
            node("g", 2),
            node("h", 0),
        ]
    )
    found = choose_host(HERE, hosts, NEED, excluded=["h"], aws_regions=[])
    assert isinstance(found, Choice)
    assert [found.reason(index) for index in range(8)] == [
        "memory",
        "processor",
        "disk",
        "not measured",
        "not ready",
        "farther",
        "chosen",
        "excluded",
    ]


def test_where_nothing_has_room_and_nothing_may_be_launched_the_reasons_are_counted() -> None:
    rows = [node("a", 1, cpu_percent=95.0), node("b", 1, cpu_percent=95.0), node("c", 2)]
    found = choose_host(HERE, hosts_of(rows), NEED, excluded=["c"], aws_regions=[])
    assert isinstance(found, NoHost)
    assert found.counts() == {"excluded": 1, "processor": 2}
    assert isinstance(choose_host(HERE, hosts_of([]), NEED, aws_regions=[]), NoHost)


def test_a_choice_among_nodes_starts_and_joins_nothing() -> None:
    rows = [edge("e", 0), node("n", 90)]
    found = choose_node(HERE, hosts_of(rows), NEED)
    assert isinstance(found, Choice)
    assert (found.host, found.reason(0)) == ("n", "inactive")
    assert isinstance(choose_node(HERE, hosts_of(rows), NEED, excluded=["n"]), NoHost)


def at(region: Region, degrees_north: float) -> dict[str, float]:
    return {"latitude": region.centre.latitude + degrees_north, "longitude": region.centre.longitude}


def test_the_host_of_a_region_is_the_ready_node_nearest_to_its_centre_however_near_others_are() -> None:
    rows = [
        inactive("inactive", **at(EUROPE, 0)),
        host("far", **at(EUROPE, 4)),
        host("near", **at(EUROPE, -3)),
        host("elsewhere", **at(ASIA, 0)),
    ]
    found = choose_host_of_region(EUROPE, hosts_of(rows), NEED)
    assert isinstance(found, Choice)
    assert (found.host, found.reason(3)) == ("near", "other region")


def test_an_inactive_host_of_another_region_is_not_taken_for_a_region() -> None:
    rows = [inactive("asian", **at(ASIA, 0)), host("full", **at(EUROPE, 0), cpu_percent=99.0)]
    launch = main_aws_region("Europe")
    found = choose_host_of_region(EUROPE, hosts_of(rows), NEED, aws_region=launch)
    assert isinstance(found, Choice)
    assert (found.kind, found.aws_region) == ("new", "eu-central-1")
    assert isinstance(choose_host_of_region(EUROPE, hosts_of(rows), NEED), NoHost)
    rows.append(inactive("european", **at(EUROPE, 1)))
    own = choose_host_of_region(EUROPE, hosts_of(rows), NEED, aws_region=launch)
    assert isinstance(own, Choice)
    assert (own.host, own.must_start, own.must_join) == ("european", True, True)


def test_a_region_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'Atlantis' is no region; take one of Europe"):
        choose_host_of_region(Region("Atlantis", HERE), hosts_of([]), NEED)


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 5, 10, 12, 15, 40]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([10.0, 95.0]),
    ),
    max_size=8,
)


@given(ROWS, st.sampled_from([None, 1.0, 10.0, 60.0]), st.randoms(use_true_random=False))
def test_the_order_of_hosts_does_not_matter_and_who_is_chosen_has_room(
    rows: list[tuple[int, bool, bool, float]], launch_at: float | None, random: Any
) -> None:
    made = [
        host(
            f"h{number}",
            longitude=float(longitude),
            is_edge=is_edge,
            is_node=is_node,
            is_ready=is_node,
            cpu_percent=cpu,
        )
        for number, (longitude, is_edge, is_node, cpu) in enumerate(rows)
    ]
    regions = [] if launch_at is None else cloud_at(launch_at)
    shuffled = list(made)
    random.shuffle(shuffled)
    first, second = (
        choose_host(HERE, hosts_of(each), NEED, aws_regions=regions) for each in (made, shuffled)
    )
    assert type(first) is type(second)
    assert (
        np.bincount(first.reasons, minlength=10).tolist()
        == np.bincount(second.reasons, minlength=10).tolist()
    )
    if isinstance(first, Choice) and isinstance(second, Choice):
        assert (first.kind, first.host) == (second.kind, second.host)
        assert first.kind == "new" or made[first.index]["cpu_percent"] == 10
    else:
        assert all(row["cpu_percent"] == 95 for row in made)


NEAR_DEGREES = (0.0, 1e-12, 1e-9, 1e-7, 1e-5, 0.3)
PLACES = st.builds(
    lambda latitude, longitude, north, east: (
        min(max(latitude + north, -90.0), 90.0),
        min(max(longitude + east, -180.0), 180.0),
    ),
    st.sampled_from([-90.0, -45.0, 0.0, 52.5, 90.0]),
    st.sampled_from([-180.0, -166.6, 0.0, 13.4, 180.0]),
    st.sampled_from(NEAR_DEGREES),
    st.sampled_from(NEAR_DEGREES),
)


@given(PLACES, st.lists(st.tuples(PLACES, st.booleans()), max_size=12))
def test_the_nearest_host_is_the_one_of_the_least_distance_to_all_also_a_hair_away_and_at_the_other_end(
    target: tuple[float, float], rows: list[tuple[tuple[float, float], bool]]
) -> None:
    made = [
        host(f"h{number}", latitude=place[0], longitude=place[1], cpu_percent=10.0 if has_room else 95.0)
        for number, (place, has_room) in enumerate(rows)
    ]
    hosts = hosts_of(made)
    distances = distances_m(*target, hosts.latitude, hosts.longitude)
    able = [row for row, (_, has_room) in enumerate(rows) if has_room]
    expected = min(((distances[row], hosts.names[row]) for row in able), default=None)
    found = choose_host(Coordinates(*target), hosts, NEED, aws_regions=[])
    assert (None if isinstance(found, NoHost) else (found.distance_m, found.host)) == expected
