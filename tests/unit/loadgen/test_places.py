"""Users come from the places that the control API names, each as often as its share says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from microservo.errors import InvalidInput
from microservo.platforms.local.peers import NOWHERE
from services.loadgen.places import UserPlaces

BERLIN: dict[str, object] = {"latitude": 52.5, "longitude": 13.4, "share": 1}
TOKYO: dict[str, object] = {"latitude": 35.7, "longitude": 139.7, "share": 3}


def test_users_who_are_nowhere_name_no_place() -> None:
    users = UserPlaces("", 0)
    assert users.of(7) == ""
    assert users.listing() == {"places": []}


def test_all_users_are_at_first_where_the_settings_say() -> None:
    assert {UserPlaces("52.5,13.4", 0).of(number) for number in range(10)} == {"52.5,13.4"}


def test_of_two_places_each_has_its_share_of_users_and_the_same_ones_for_the_same_seed() -> None:
    users, others = UserPlaces("", 5), UserPlaces("", 5)
    users.change({"places": [BERLIN, TOKYO]})
    others.change({"places": [BERLIN, TOKYO]})
    came = [users.of(number) for number in range(4000)]
    assert Counter(came)["35.7,139.7"] == pytest.approx(3000, abs=150)
    assert came == [others.of(number) for number in range(4000)]
    assert users.listing()["places"] == [BERLIN, TOKYO]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (None, "no list"),
        ([], "no list"),
        (["Berlin"], "no place"),
        ([{"latitude": 52.5, "share": 1}], "longitude None is no number"),
        ([{**BERLIN, "share": 0}], "not above 0"),
        ([{**BERLIN, "latitude": 91}], "is no place"),
        ([{**BERLIN, "share": True}], "share True is no number"),
        ([BERLIN, BERLIN], "name it once"),
    ],
)
def test_what_is_no_place_is_refused_and_changes_nothing(places: Any, said: str) -> None:
    users = UserPlaces("52.5,13.4", 0)
    with pytest.raises(InvalidInput, match=said):
        users.change({"places": places})
    assert users.of(0) == "52.5,13.4"


def test_users_are_near_the_region_of_their_place_and_those_who_are_nowhere_near_none() -> None:
    users = UserPlaces("52.5,13.4", 0)
    assert users.near("52.5,13.4").regions[0] == "Europe"
    assert users.near("35.7,139.7").regions[0] == "Asia"
    assert users.near("") == NOWHERE
    users.change({"places": [TOKYO]})
    assert users.near("35.7,139.7").regions[0] == "Asia"
