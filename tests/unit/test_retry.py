"""One policy for what fails for now."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from microservo.errors import InvalidInput, Retryable
from microservo.retry import retry, retry_async


def failing(times: int, result: str = "done") -> Callable[[], str]:
    left = [times]

    def act() -> str:
        left[0] -= 1
        if left[0] >= 0:
            msg = f"{left[0]} failures left"
            raise Retryable(msg)
        return result

    return act


def test_what_fails_for_now_is_tried_again_until_it_succeeds() -> None:
    told: list[str] = []
    assert retry(failing(2), first_pause_s=0.001, on_failure=lambda error: told.append(str(error))) == "done"
    assert told == ["1 failures left", "0 failures left"]


def test_pauses_double_up_to_the_longest() -> None:
    pauses: list[float] = []

    def wait(pause_s: float) -> bool:
        pauses.append(pause_s)
        return False

    retry(failing(5), first_pause_s=0.1, longest_pause_s=0.5, wait=wait)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_the_last_failure_is_raised_after_the_last_attempt() -> None:
    with pytest.raises(Retryable, match="7 failures left"):
        retry(failing(10), attempts=3, first_pause_s=0.001)


def test_no_effort_begins_after_the_time_is_up() -> None:
    with pytest.raises(Retryable):
        retry(failing(1_000_000), timeout_s=0.02, first_pause_s=0.005, longest_pause_s=0.005)


def test_a_wait_that_is_ended_early_raises_the_failure_at_hand() -> None:
    shutdown = threading.Event()
    shutdown.set()
    with pytest.raises(Retryable, match="9 failures left"):
        retry(failing(10), wait=shutdown.wait)


def test_what_is_wrong_for_good_is_not_tried_again() -> None:
    attempts: list[int] = []

    def act() -> None:
        attempts.append(1)
        msg = "refused"
        raise InvalidInput(msg)

    with pytest.raises(InvalidInput):
        retry(act)
    assert attempts == [1]


def test_what_fails_for_now_lets_others_go_on_until_it_succeeds() -> None:
    told: list[str] = []
    others: list[str] = []
    attempts = iter([Retryable("first"), Retryable("second"), None])

    async def act() -> str:
        if (failure := next(attempts)) is not None:
            raise failure
        return "done"

    async def other() -> None:
        others.append("went on")

    async def both() -> str:
        done, _ = await asyncio.gather(
            retry_async(act, first_pause_s=0.001, on_failure=lambda error: told.append(str(error))), other()
        )
        return done

    assert asyncio.run(both()) == "done"
    assert (told, others) == (["first", "second"], ["went on"])


def test_what_is_wrong_for_good_ends_the_efforts_of_others_too() -> None:
    async def act() -> None:
        raise InvalidInput("no")

    with pytest.raises(InvalidInput, match="no"):
        asyncio.run(retry_async(act))
