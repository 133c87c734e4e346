"""How long bytes travel is said by the places of callers and instance."""

from __future__ import annotations

import pytest

from microservo.domain.geography import Coordinates, distance_m, travel_time_s
from microservo.errors import InvalidInput
from services.sidecar.distance import Distance
from services.sidecar.framing import RequestFramer

BERLIN, SYDNEY = Coordinates(52.5, 13.4), Coordinates(-33.9, 151.2)


def test_a_thousand_kilometres_take_five_milliseconds() -> None:
    a, b = Coordinates(0.0, 0.0), Coordinates(0.0, 8.993)
    assert distance_m(a, b) == pytest.approx(1e6, rel=1e-3)
    assert travel_time_s(a, b) == pytest.approx(0.005, rel=1e-3)


def test_bytes_travel_as_long_as_light_from_the_place_that_a_caller_names() -> None:
    distance = Distance("-33.9,151.2")
    assert distance.ask("52.5,13.4") == travel_time_s(BERLIN, SYDNEY)
    assert distance.ask("52.5,13.4") == travel_time_s(SYDNEY, BERLIN)
    assert distance.requests == {BERLIN: 2}


@pytest.mark.parametrize("text", ["", "Berlin", "52.5", "91,0", "nan,0", "0,inf", "1,2,3"])
def test_a_caller_that_names_no_place_is_beside_the_instance(text: str) -> None:
    distance = Distance("52.5,13.4")
    assert distance.ask(text) == 0.0
    assert not distance.requests


@pytest.mark.parametrize("text", ["Berlin", "91,0", "nan,nan"])
def test_an_instance_that_is_nowhere_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Distance(text)


def test_a_request_names_the_place_of_its_caller_and_the_next_one_may_name_none() -> None:
    placed = b"GET /Page HTTP/1.1\r\nX-Caller-Place: 52.5,13.4\r\n\r\n"
    frames = RequestFramer().feed(placed + b"GET /Page HTTP/1.1\r\n\r\n")
    assert [frame.head.place for frame in frames if frame.head is not None] == ["52.5,13.4", ""]
