"""A fault that two make together: in force when it is so by both, and over when it is so by both."""

from __future__ import annotations

import pytest

from microservo.domain.faults.base import Wire
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms.both_ways import BothWays
from microservo.platforms.mechanism import Confirmation, Owned

WIRE: Wire = ("network-partition", {"peer": "front"})


class Part:
    """A mechanism in memory, whose confirmations are `at_us`."""

    def __init__(self, name: str, at_us: int, *, refuses: bool = False, within_us: int | None = 10) -> None:
        self.name = name
        self.in_force: dict[str, int] = {}
        self._at_us = at_us
        self._refuses = refuses
        self._within_us = within_us

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        if self._refuses:
            msg = f"{self.name} can't"
            raise InvalidInput(msg)
        self.in_force[fault_id] = 3
        return self._confirmed(0)

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        return self._confirmed(self.in_force.pop(fault_id, None))

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        return fault_id in self.in_force

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        return self.in_force.get(fault_id)

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        return [each for each in list(self.in_force) if each not in owned() and self.in_force.pop(each)]

    def _confirmed(self, acted: int | None) -> Confirmation:
        return Confirmation(at_us=self._at_us, evidence=self.name, within_us=self._within_us, acted=acted)


def test_it_took_effect_with_the_last_part_and_not_before_the_first() -> None:
    late, early = Part("late", 500), Part("early", 400)
    both = BothWays("network", (late, early))
    applied = both.apply("cart-0", "f1", WIRE)
    assert applied == Confirmation(at_us=500, evidence="early; late", within_us=110, acted=0)
    assert both.holds("cart-0", "f1", WIRE)
    assert both.acted("cart-0", "f1", WIRE) == 6
    early.in_force.clear()
    assert not both.holds("cart-0", "f1", WIRE)
    assert both.recover("cart-0", "f1", WIRE).acted == 3
    assert both.acted("cart-0", "f1", WIRE) is None


def test_where_one_part_refuses_nothing_stays_in_force() -> None:
    good = Part("good", 500)
    with pytest.raises(InvalidInput, match="bad can't"):
        BothWays("network", (good, Part("bad", 400, refuses=True))).apply("cart-0", "f1", WIRE)
    assert good.in_force == {}


def test_what_nobody_owns_is_one_thing_however_many_made_it() -> None:
    parts = Part("a", 1), Part("b", 2)
    both = BothWays("network", parts)
    both.apply("cart-0", "f1", WIRE)
    assert both.release_unowned("cart-0", {"f1": "network-partition"}.copy) == []
    assert both.release_unowned("cart-0", dict) == ["f1"]
    assert not both.holds("cart-0", "f1", WIRE)


def test_how_exact_it_is_is_not_known_where_one_part_does_not_say() -> None:
    both = BothWays("network", (Part("a", 1), Part("b", 2, within_us=None)))
    assert both.apply("cart-0", "f1", WIRE).within_us is None
