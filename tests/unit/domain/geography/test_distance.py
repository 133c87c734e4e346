"""Distances on the sphere, and which region a place belongs to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from microservo.domain.geography import (
    AWS_REGIONS,
    EARTH_RADIUS_M,
    SEVEN_REGIONS,
    Coordinates,
    Region,
    distance_m,
    distances_m,
    main_aws_region,
    nearest_aws_region,
    region_of,
    regions_of,
)
from microservo.errors import InvalidInput

HALF_CIRCUMFERENCE_M = math.pi * EARTH_RADIUS_M
PLACES = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))
LISBON, PORTO = Coordinates(38.7223, -9.1393), Coordinates(41.1579, -8.6291)
NEW_YORK, LONDON = Coordinates(40.7128, -74.0060), Coordinates(51.5074, -0.1278)


def test_known_cities_are_as_far_apart_as_the_spherical_law_of_cosines_says() -> None:
    for a, b in ((LISBON, PORTO), (NEW_YORK, LONDON), (LISBON, NEW_YORK)):
        phi_a, phi_b = math.radians(a.latitude), math.radians(b.latitude)
        delta = math.radians(b.longitude - a.longitude)
        cosine = math.sin(phi_a) * math.sin(phi_b) + math.cos(phi_a) * math.cos(phi_b) * math.cos(delta)
        assert distance_m(a, b) == pytest.approx(math.acos(cosine) * EARTH_RADIUS_M, rel=1e-9)
    assert distance_m(NEW_YORK, LONDON) == pytest.approx(5_570_000, rel=1e-3)


@given(PLACES, PLACES)
@example(Coordinates(0.1, 0.1), Coordinates(0.1, 0.1 + 1e-15))
@example(Coordinates(90, 0), Coordinates(-90, 180))
def test_a_distance_is_never_nan_and_the_same_in_both_directions(a: Coordinates, b: Coordinates) -> None:
    there = distance_m(a, b)
    assert 0 <= there <= HALF_CIRCUMFERENCE_M * (1 + 1e-12)
    assert there == distance_m(b, a)


@given(PLACES, st.floats(-1e-7, 1e-7))
def test_places_that_are_almost_the_same_are_almost_no_distance_apart(a: Coordinates, more: float) -> None:
    near = Coordinates(max(-90.0, min(90.0, a.latitude + more)), a.longitude)
    expected = math.radians(abs(near.latitude - a.latitude)) * EARTH_RADIUS_M
    assert distance_m(a, near) == pytest.approx(expected, abs=1e-8)


@given(PLACES)
def test_a_place_is_half_the_circumference_from_its_antipodes_and_nothing_from_itself(a: Coordinates) -> None:
    opposite = Coordinates(-a.latitude, a.longitude - 180 if a.longitude > 0 else a.longitude + 180)
    assert distance_m(a, opposite) == pytest.approx(HALF_CIRCUMFERENCE_M, rel=1e-12)
    assert distance_m(a, a) == 0


@given(PLACES, PLACES, PLACES)
def test_no_way_round_is_shorter(a: Coordinates, b: Coordinates, c: Coordinates) -> None:
    assert distance_m(a, c) <= distance_m(a, b) + distance_m(b, c) + 1e-6


@given(PLACES, st.lists(PLACES, min_size=1, max_size=20))
@example(Coordinates(84.19976006580615, 0.0), [Coordinates(31.127275177163398, 1.0)])
def test_columns_say_to_the_last_digit_what_one_by_one_says(
    a: Coordinates, places: list[Coordinates]
) -> None:
    latitudes = np.array([place.latitude for place in places])
    longitudes = np.array([place.longitude for place in places])
    found = distances_m(a.latitude, a.longitude, latitudes, longitudes)
    assert found.tolist() == [distance_m(a, place) for place in places]
    assert found.tolist() == [distance_m(place, a) for place in places]


@pytest.mark.parametrize("place", [(91.0, 0.0), (0.0, -180.5), (math.nan, 0.0), (0.0, math.inf)])
def test_what_is_no_place_is_refused_with_the_range(place: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput, match=r"is no place; give degrees from -90 to 90"):
        Coordinates(*place)


@pytest.mark.parametrize(
    ("place", "region"),
    [
        (LISBON, "Europe"),
        (NEW_YORK, "North America"),
        (Coordinates(-23.55, -46.63), "South America"),
        (Coordinates(6.52, 3.38), "Africa"),
        (Coordinates(25.2, 55.27), "Middle East"),
        (Coordinates(35.68, 139.65), "Asia"),
        (Coordinates(-33.87, 151.21), "Oceania"),
    ],
)
def test_a_city_belongs_to_the_region_whose_centre_is_nearest(place: Coordinates, region: str) -> None:
    assert region_of(place).name == region


@given(st.permutations(SEVEN_REGIONS), PLACES)
def test_the_order_of_regions_does_not_matter(regions: list[Region], place: Coordinates) -> None:
    assert region_of(place, regions) == region_of(place)


def test_between_two_centres_the_first_by_name_has_the_place() -> None:
    regions = [Region("west", Coordinates(0, -10)), Region("east", Coordinates(0, 10))]
    assert region_of(Coordinates(0, 0), regions).name == "east"
    assert regions_of([0.0, 0.0], [0.0, -1.0], regions).tolist() == [1, 0]


def test_a_place_without_any_region_is_refused() -> None:
    with pytest.raises(InvalidInput, match="give at least one"):
        region_of(LISBON, [])


def test_the_cloud_has_23_regions_of_which_17_can_be_launched_in() -> None:
    assert len({region.code for region in AWS_REGIONS}) == 23
    off = {region.code for region in AWS_REGIONS if not region.is_enabled}
    assert off == {
        "us-gov-east-1",
        "us-gov-west-1",
        "ap-east-1",
        "ap-northeast-3",
        "eu-south-1",
        "eu-north-1",
    }


def test_each_region_has_its_main_one_in_the_cloud() -> None:
    found = {region.name: main_aws_region(region.name).code for region in SEVEN_REGIONS}
    assert found == {
        "Europe": "eu-central-1",
        "North America": "us-east-1",
        "South America": "sa-east-1",
        "Africa": "af-south-1",
        "Middle East": "me-south-1",
        "Asia": "ap-south-1",
        "Oceania": "ap-southeast-2",
    }
    with pytest.raises(InvalidInput, match=r"'Atlantis'; those that have one: Africa, Asia"):
        main_aws_region("Atlantis")


def test_the_nearest_region_of_the_cloud_is_one_that_is_enabled() -> None:
    near_milan = nearest_aws_region(Coordinates(45.46, 9.19))
    assert near_milan is not None
    assert near_milan[0].code == "eu-central-1"
    assert nearest_aws_region(LISBON, []) is None


def test_asking_for_the_nearest_region_leaves_the_table_of_all_askers_as_it_was() -> None:
    before = [region.code for region in AWS_REGIONS]
    nearest_aws_region(NEW_YORK)
    assert [region.code for region in AWS_REGIONS] == before
    assert isinstance(AWS_REGIONS, tuple)
