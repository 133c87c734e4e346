"""Asking a manager that is busy: what it did unanswered is not asked of it twice."""

from __future__ import annotations

import pytest

from microservo.client import Client
from microservo.errors import InvalidInput, Unavailable
from microservo.system import app_placing
from microservo.system.app_placing import AppPlacing
from microservo.testing import MemoryBroker

PATIENT_S, OUT_OF_TIME_S = 60.0, -1.0


class Busy:
    """Answers by raising these in turn, then with nothing."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture(autouse=True)
def _ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_placing, "_ASK_S", 0.0)


def placing(timeout_s: float, report: list[str] | None = None) -> AppPlacing:
    said = [] if report is None else report
    return AppPlacing(Client(broker=MemoryBroker()), timeout_s, report=said.append)


def test_what_is_refused_after_it_was_not_answered_is_looked_at_once_more() -> None:
    step, said = Busy(Unavailable("no manager answered"), InvalidInput("it exists")), list[str]()
    placing(PATIENT_S, said).ask(step)
    assert step.calls == 3
    assert said == ["no manager answered", "it exists"]


@pytest.mark.parametrize("before", [[], [Unavailable("no manager answered"), InvalidInput("it exists")]])
def test_what_is_refused_is_said(before: list[Exception]) -> None:
    with pytest.raises(InvalidInput, match="there is no room"):
        placing(PATIENT_S).ask(Busy(*before, InvalidInput("there is no room")))


def test_who_never_answers_is_given_up() -> None:
    with pytest.raises(Unavailable, match="no manager answered"):
        placing(OUT_OF_TIME_S).ask(Busy(Unavailable("no manager answered")))
