from __future__ import annotations

from collections.abc import Iterator

import pytest

from microservo.adapters.memory.consumer import MemoryConsumer
from microservo.testing import ManualClock, MemoryBroker, brokers, eventually
from microservo.testing.brokers import reading
from microservo.testing.checks import checks_in, refused


def test_a_manual_clock_moves_only_by_advance() -> None:
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


def test_a_broker_that_breaks_a_rule_gets_it_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryConsumer, "pause", lambda *_: None)
    monkeypatch.setattr(brokers, "CHECKS", checks_in(reading))
    with pytest.raises(ExceptionGroup, match=r"2 of \d+ checks failed") as found:
        brokers.check_broker(MemoryBroker)
    notes = {note for error in found.value.exceptions for note in error.__notes__}
    assert "does not hold: paused partitions give nothing until resumed" in notes


def test_an_error_that_is_expected_must_come_with_its_words() -> None:
    with refused(ValueError, "too l.rge"):
        raise ValueError("too large")
    for raised in (ValueError("other"), None):
        with pytest.raises(AssertionError, match="expected ValueError with 'too large'"):
            _refuse(raised)


def _refuse(error: Exception | None) -> None:
    with refused(ValueError, "too large"):
        if error:
            raise error
