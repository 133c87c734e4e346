from __future__ import annotations

from collections.abc import Iterator

import pytest

from microservo.testing import ManualClock, eventually


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(7)
    assert [clock(), clock()] == [7, 7]
    clock.advance(3)
    assert clock() == 10


def test_eventually_gives_the_first_truthy_value() -> None:
    values: Iterator[int] = iter([0, 0, 5, 6])
    assert eventually(lambda: next(values), interval_s=0) == 5


def test_eventually_says_what_did_not_come_about() -> None:
    with pytest.raises(
        AssertionError, match=r"the label did not come about within 0 s; the last value was \[\]"
    ):
        eventually(list, timeout_s=0, what="the label")
