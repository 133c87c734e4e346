"""One policy for what fails for now: try again with growing pauses, until it succeeds or time is up.

Any room may use it: it knows nothing but our errors.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from microservo.errors import MicroServoError, Retryable

T = TypeVar("T")

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0

Wait = Callable[[float], bool]
"""Waits up to so many seconds; True ends the attempts early, as `Shutdown.wait` and `Event.wait` do."""


def retry(
    act: Callable[[], T],
    *,
    timeout_s: float | None = None,
    attempts: int | None = None,
    passing: type[MicroServoError] = Retryable,
    first_pause_s: float = FIRST_PAUSE_S,
    longest_pause_s: float = LONGEST_PAUSE_S,
    wait: Wait | None = None,
    on_failure: Callable[[MicroServoError], None] | None = None,
) -> T:
    """What `act` returns, as soon as it returns; each error that may pass leads to another attempt.

    Args:
        act: one attempt.
        timeout_s: no attempt begins later than this; None for no limit.
        attempts: so many attempts at the most; None for no limit.
        passing: the errors that may pass.
        first_pause_s: pause after the first failure; each following one is twice as long.
        longest_pause_s: what pauses grow to.
        wait: how to wait; when it returns True no further attempt is made.
        on_failure: called with each failure before the pause, to count or log it.

    Raises:
        MicroServoError: the last failure, once time or attempts are used up.
        Exception: whatever else `act` raises, at once.

    Example:
        >>> retry(lambda: 7)
        7
    """
    pause = wait or threading.Event().wait
    failures: list[MicroServoError] = []

    def before_sleep(state: tenacity.RetryCallState) -> None:
        failures[:] = [_reported(state, on_failure)]

    def sleep(seconds: float) -> None:
        if pause(seconds):
            raise failures[0]

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(passing),
        wait=tenacity.wait_exponential(multiplier=first_pause_s, min=first_pause_s, max=longest_pause_s),
        stop=_stop(timeout_s, attempts),
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )
    return retrying(act)


async def retry_async(
    act: Callable[[], Awaitable[T]],
    *,
    first_pause_s: float = FIRST_PAUSE_S,
    longest_pause_s: float = LONGEST_PAUSE_S,
    on_failure: Callable[[MicroServoError], None] | None = None,
) -> T:
    """As `retry`, for asyncio and without end: others go on meanwhile, and cancelling ends the attempts.

    Args:
        act: one attempt.
        first_pause_s: pause after the first failure; each following one is twice as long.
        longest_pause_s: what pauses grow to.
        on_failure: called with each failure before the pause, to count or log it.

    Raises:
        Exception: whatever but `Retryable` `act` raises, at once.
    """

    def before_sleep(state: tenacity.RetryCallState) -> None:
        _reported(state, on_failure)

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Retryable),
        wait=tenacity.wait_exponential(multiplier=first_pause_s, min=first_pause_s, max=longest_pause_s),
        before_sleep=before_sleep,
        reraise=True,
    )
    return await retrying(act)


def _reported(
    state: tenacity.RetryCallState, on_failure: Callable[[MicroServoError], None] | None
) -> MicroServoError:
    """The failure of an attempt, once it was reported."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, MicroServoError)
    if on_failure is not None:
        on_failure(error)
    return error


def _stop(timeout_s: float | None, attempts: int | None) -> tenacity.stop.stop_base:
    limits: list[tenacity.stop.stop_base] = []
    if timeout_s is not None:
        limits.append(tenacity.stop_before_delay(timeout_s))
    if attempts is not None:
        limits.append(tenacity.stop_after_attempt(attempts))
    return tenacity.stop_any(*limits) if limits else tenacity.stop_never
