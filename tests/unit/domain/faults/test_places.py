from __future__ import annotations

import pytest

from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.places import check_place, goes_anywhere
from microservo.errors import InvalidInput

EDGES = [("loadgen", "front"), ("front", "checkout"), ("front", "cart"), ("checkout", "cart")]


@pytest.mark.parametrize(
    ("kind", "values", "service"),
    [
        ("load-spike", {"times": 3}, "front"),
        ("dns-failure", {"name": ""}, "checkout"),
        ("dns-failure", {"name": "cart"}, "checkout"),
        ("dependency-blackhole", {"peer": "cart"}, "front"),
        ("network-delay", {"peer": ""}, "cart"),
        ("network-delay", {"peer": "checkout"}, "cart"),
        ("network-delay", {"peer": "loadgen"}, "front"),
        ("network-partition", {"peer": "front"}, "checkout"),
        ("network-partition", {"peer": "cart"}, "checkout"),
        ("cpu-hog", {}, "cart"),
        ("cascade", {}, "cart"),
    ],
)
def test_a_fault_can_be_where_there_is_what_it_needs(
    kind: str, values: dict[str, object], service: str
) -> None:
    check_place(KINDS[kind], values, service, EDGES)


@pytest.mark.parametrize(
    ("kind", "values", "service", "sentence"),
    [
        ("load-drop", {}, "cart", "can't be at cart, for no users come to it; take one of front"),
        ("retry-storm", {}, "cart", "can't be at cart, for it calls nobody; take one of checkout, front"),
        ("cascade", {}, "front", "can't be at front, for no service calls it; take one of cart, checkout"),
        ("dns-delay", {"name": "x"}, "front", "'x', which is none of the callees of front; there are cart"),
        ("network-loss", {"peer": "cart"}, "front", "none of the callers of front; there are loadgen"),
        ("network-partition", {"peer": "cart"}, "cart", "neighbours of cart; there are checkout, front"),
    ],
)
def test_elsewhere_it_is_refused_with_the_places_there_are(
    kind: str, values: dict[str, object], service: str, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_place(KINDS[kind], values, service, EDGES)
    assert sentence in str(refused.value)


def test_most_kinds_can_be_anywhere() -> None:
    bound = {name for name, kind in KINDS.items() if not goes_anywhere(kind)}
    assert bound == {
        "cascade",
        "dependency-blackhole",
        "dns-delay",
        "dns-failure",
        "dns-wrong-address",
        "load-drop",
        "load-spike",
        "network-partition",
        "retry-storm",
    }
