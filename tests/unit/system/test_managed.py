"""Asking a manager that is busy: what it did unanswered is not asked of it twice."""

from __future__ import annotations

import time

import pytest

from microservo.client import Client
from microservo.errors import InvalidInput, Unavailable
from microservo.system import managed
from microservo.testing import MemoryBroker


class Busy:
    """Answers by raising these in turn, then with nothing."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> managed.Launch:
    monkeypatch.setattr(managed, "_ASK_S", 0.0)
    return managed.Launch(Client(broker=MemoryBroker()), time.monotonic() + 60)


def test_what_is_refused_after_it_was_not_answered_is_looked_at_once_more(launch: managed.Launch) -> None:
    step = Busy(Unavailable("no manager answered"), InvalidInput("it exists"))
    launch.asked(step)
    assert step.calls == 3


@pytest.mark.parametrize("before", [[], [Unavailable("no manager answered"), InvalidInput("it exists")]])
def test_what_is_refused_is_said(launch: managed.Launch, before: list[Exception]) -> None:
    with pytest.raises(InvalidInput, match="there is no room"):
        launch.asked(Busy(*before, InvalidInput("there is no room")))


def test_who_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "_ASK_S", 0.0)
    launch = managed.Launch(Client(broker=MemoryBroker()), time.monotonic() - 1)
    with pytest.raises(Unavailable, match="no manager answered"):
        launch.asked(Busy(Unavailable("no manager answered")))
