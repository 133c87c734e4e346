"""Which instances a request means."""

from __future__ import annotations

from typing import Any

import pytest

from microservo.domain.faults.catalogue import parse_request
from microservo.domain.faults.targets import targets_of
from microservo.errors import InvalidInput
from schemas.records import FaultRequest

CARTS = tuple(f"shop/cart-{number}" for number in range(8))
SERVICES = {"cart": CARTS, "front": ("shop/front-0",)}
LABELS = {each: {"app": "cart", "track": "canary" if each < CARTS[3] else "stable"} for each in CARTS}


def hit(fault_id: str = "f1", **changes: Any) -> tuple[str, ...]:
    request = FaultRequest(
        fault_id=fault_id, action="inject", requested_at_us=0, kind="noop", service="cart", **changes
    )
    return targets_of(request, SERVICES, LABELS)


def test_without_a_mode_every_instance_is_hit() -> None:
    assert hit() == CARTS


@pytest.mark.parametrize(
    ("mode", "hits"),
    [("all", 8), ("one", 1), ("1", 1), ("3", 3), ("8", 8), ("50%", 4), ("1%", 1), ("99%", 7)],
)
def test_a_mode_hits_so_many_and_of_a_percentage_never_none(mode: str, hits: int) -> None:
    found = hit(mode=mode)
    assert len(set(found)) == hits
    assert set(found) <= set(CARTS)


def test_the_id_of_the_fault_decides_which_and_always_the_same() -> None:
    assert hit("f1", mode="one") == hit("f1", mode="one")
    assert {hit(f"f{number}", mode="one") for number in range(200)} == {(each,) for each in CARTS}


def test_the_order_in_which_the_platform_names_them_changes_nothing() -> None:
    request = FaultRequest(
        fault_id="f1", action="inject", requested_at_us=0, kind="noop", service="cart", mode="3"
    )
    assert targets_of(request, {"cart": CARTS[::-1]}) == hit(mode="3")


def test_a_mode_passes_over_instances_that_do_not_run_unless_too_few_are_left() -> None:
    def chosen(mode: str, down: set[str]) -> set[str]:
        requests = [
            FaultRequest(
                fault_id=f"f{number}",
                action="inject",
                requested_at_us=0,
                kind="noop",
                service="cart",
                mode=mode,
            )
            for number in range(200)
        ]
        return {each for request in requests for each in targets_of(request, {"cart": CARTS}, down=down)}

    assert chosen("one", {CARTS[0]}) == set(CARTS[1:])
    assert chosen("one", set(CARTS)) == set(CARTS)
    assert chosen("all", {CARTS[0]}) == set(CARTS)


def test_labels_leave_those_that_have_all_of_them_and_a_mode_chooses_among_these() -> None:
    assert hit(labels={"app": "cart", "track": "canary"}) == CARTS[:3]
    assert set(hit(labels={"track": "canary"}, mode="2")) < set(CARTS[:3])


def test_named_instances_are_chosen_among_likewise() -> None:
    assert set(hit(instances=CARTS[2:4], mode="one")) < set(CARTS[2:4])
    assert hit(instances=CARTS[2:4], labels={"track": "stable"}) == CARTS[3:4]


@pytest.mark.parametrize("mode", ["", "none", "0", "-1", "0%", "101%", "1.5", "two", "50 %", "\uff11"])
def test_what_is_no_mode_is_refused_with_those_that_are(mode: str) -> None:
    with pytest.raises(InvalidInput, match="is no mode; write all, one, a number like 2, or a percentage"):
        hit(mode=mode)


def test_a_mode_is_judged_where_no_target_is_known_too() -> None:
    request = FaultRequest(
        fault_id="f1", action="inject", requested_at_us=0, kind="noop", service="any", mode="x", duration_us=1
    )
    with pytest.raises(InvalidInput, match="'x' is no mode"):
        parse_request(request)


def test_more_than_there_are_is_refused_with_how_many_there_are() -> None:
    with pytest.raises(InvalidInput, match="cart has 3 such instances, not 4; take fewer, or all"):
        hit(labels={"track": "canary"}, mode="4")


def test_labels_that_none_has_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        InvalidInput,
        match="no instance of cart has the labels app=cart,track=beta; they have app=cart, track=canary, "
        "track=stable",
    ):
        hit(labels={"track": "beta", "app": "cart"})


def test_where_nothing_has_labels_it_says_so() -> None:
    request = FaultRequest(
        fault_id="f1", action="inject", requested_at_us=0, kind="noop", service="front", labels={"a": "b"}
    )
    with pytest.raises(InvalidInput, match="no instance of front has the labels a=b; they have none"):
        targets_of(request, SERVICES)
