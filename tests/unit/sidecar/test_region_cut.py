"""Of a region that is cut off, a sidecar holds back what comes from the other side and goes there."""

from __future__ import annotations

import pytest

from microservo.errors import InvalidInput
from services.sidecar.fault_set import FaultSet
from services.sidecar.framing import Head

BERLIN, TOKYO, OSAKA = "52.5,13.4", "35.7,139.7", "34.7,135.5"


def held(place: str, *, inside: int) -> tuple[bool, bool]:
    """Whether a request from a place is held back by a sidecar, and an answer to there."""
    faults = FaultSet(instance="cart-1", seed=7)
    faults.apply("f1", "region-cut", {"region": "Asia", "inside": inside})
    request = bool(faults.request_hits(Head("POST", "Get", "front", place)))
    return request, bool(faults.segment_hits(100, 1.0, "front", place))


@pytest.mark.parametrize(
    ("place", "inside", "is_held"),
    [
        (BERLIN, 1, True),
        (OSAKA, 1, False),
        (TOKYO, 0, True),
        (BERLIN, 0, False),
        ("", 1, False),
        ("", 0, False),
    ],
)
def test_it_holds_back_what_crosses_the_border(place: str, inside: int, is_held: bool) -> None:
    assert held(place, inside=inside) == (is_held, is_held)


def test_what_was_held_back_may_go_when_the_region_is_reached_again() -> None:
    faults = FaultSet(instance="cart-1", seed=7)
    faults.apply("f1", "region-cut", {"region": "Asia", "inside": 1})
    [hit] = faults.request_hits(Head("POST", "Get", "front", BERLIN))
    faults.remove("f1")
    assert not hit.by.active
    assert not faults.request_hits(Head("POST", "Get", "front", BERLIN))


@pytest.mark.parametrize("parameters", [{}, {"region": "Asia"}, {"region": "Asia", "inside": 2}])
def test_a_cut_without_sides_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        FaultSet(instance="cart-1", seed=7).apply("f1", "region-cut", parameters)
