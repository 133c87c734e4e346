"""Looks that go on whatever becomes of one, and questions that wait for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from microservo.errors import Retryable
from microservo.runtime.looking import Looking, Questions
from microservo.testing import eventually


class Seconds:
    """A clock that is put forward by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_look_that_fails_is_said_and_the_next_one_follows(caplog: pytest.LogCaptureFixture) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(len(looks))
        if len(looks) == 1:
            msg = "it does not answer"
            raise Retryable(msg)
        if len(looks) == 2:
            raise ValueError(looks)

    with Looking(look, 0.01, name="the moon"):
        eventually(lambda: len(looks) > 3, timeout_s=10)
    seen = len(looks)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "a look at the moon failed: it does not answer" in caplog.text
    assert len(looks) == seen, "none follows behind the end"


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def questions(clock: Seconds, asked: list[str]) -> Iterator[Questions[str, int]]:
    def ask(key: str) -> int:
        asked.append(key)
        return len(asked)

    found: Questions[str, int] = Questions(ask, 1.0, at_once=2, monotonic_s=clock)
    yield found
    found.close()


def answer(questions: Questions[str, int], *keys: str) -> list[tuple[str, int]]:
    """The first answers that come."""
    found = eventually(lambda: list(questions.answers(keys)), timeout_s=10)
    assert found is not None
    return found


def test_each_is_asked_anew_when_its_time_has_come_and_not_before(
    questions: Questions[str, int], clock: Seconds, asked: list[str]
) -> None:
    assert answer(questions, "a") == [("a", 1)]
    assert list(questions.answers(["a"])) == []
    clock.now_s += 0.9
    assert list(questions.answers(["a"])) == []
    assert asked == ["a"]
    clock.now_s += 0.2
    assert answer(questions, "a") == [("a", 2)]


def test_one_that_is_not_asked_for_any_more_is_forgotten_and_begins_anew(
    questions: Questions[str, int], asked: list[str]
) -> None:
    assert answer(questions, "a") == [("a", 1)]
    assert list(questions.answers([])) == []
    assert answer(questions, "a") == [("a", 2)], "it waits for no time that another life had"
    assert asked == ["a", "a"]


def test_nobody_waits_for_one_that_takes_long(clock: Seconds) -> None:
    is_over = threading.Event()

    def ask(key: str) -> str:
        if key == "slow":
            is_over.wait(30)
        return key

    questions: Questions[str, str] = Questions(ask, 1.0, at_once=2, monotonic_s=clock)
    found = eventually(lambda: list(questions.answers(["slow", "quick"])), timeout_s=10)
    assert found == [("quick", "quick")]
    is_over.set()
    assert eventually(lambda: list(questions.answers(["slow", "quick"])), timeout_s=10) == [("slow", "slow")]
    questions.close()
