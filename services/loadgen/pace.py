"""Waits between arrivals, at a rate that may change while waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from microservo.errors import InvalidInput

_MIN_RATE = 0.001
_MAX_RATE = 10_000.0


class Pace:
    """Turns gaps into instants. Open loop: an instant that has passed is due now, and is not skipped.

    As long as the rate is not changed, the instants are the same each time, counted from the first.

    Args:
        rate: journeys per second, 0 (none) or 0.001 to 10,000.
        curve: what the rate is multiplied by so many seconds after the beginning.

    Raises:
        InvalidInput: the rate is out of bounds.
    """

    def __init__(self, rate: float, curve: Callable[[float], float]) -> None:
        self._rate = _checked(rate)
        self._times = 1.0
        self._curve = curve
        self._changed = asyncio.Event()
        self._begin_s = self._due_s = time.monotonic()

    @property
    def rate(self) -> float:
        """Journeys per second, as asked for."""
        return self._rate

    @property
    def times(self) -> float:
        """What that is multiplied by now."""
        return self._times

    @property
    def current(self) -> float:
        """Journeys per second at this moment of the curve."""
        return self._rate * self._times * self._curve(time.monotonic() - self._begin_s)

    def begin(self) -> None:
        """Has the first wait count from now on."""
        self._begin_s = self._due_s = time.monotonic()

    def change(self, rate: float) -> None:
        """Sets the rate; the wait under way is stretched or shortened with it.

        Raises:
            InvalidInput: the rate is out of bounds; the old one stays.
        """
        _checked(rate * self._times)
        self._rate = _checked(rate)
        self._changed.set()

    def multiply(self, times: float) -> None:
        """Sets what the rate is multiplied by, likewise.

        Raises:
            InvalidInput: the product is out of bounds; nothing changes.
        """
        _checked(self._rate * times)
        self._times = times
        self._changed.set()

    @property
    def late_s(self) -> float:
        """How long ago the last wait should have ended."""
        return time.monotonic() - self._due_s

    async def wait(self, gap: float) -> None:
        """Returns `gap` mean gaps after the end of the last wait."""
        while True:
            # A gap is short against what the curve moves in.
            rate = self._rate * self._times * self._curve(self._due_s - self._begin_s)
            self._changed.clear()
            if await self._idle(self._due_s + gap / rate if rate else None):
                self._due_s += gap / rate
                return
            # The part that has passed counts at the old rate, what is left at the new one.
            now_s = time.monotonic()
            gap = max(0.0, gap - (now_s - self._due_s) * rate)
            self._due_s = now_s

    async def _idle(self, until_s: float | None) -> bool:
        """Waits for the instant (None: never comes); False when the rate changed before."""
        left_s = None if until_s is None else until_s - time.monotonic()
        if left_s is not None and left_s <= 0:
            return True
        try:
            await asyncio.wait_for(self._changed.wait(), left_s)
        except TimeoutError:
            return True
        return False


def _checked(rate: float) -> float:
    if rate and not _MIN_RATE <= rate <= _MAX_RATE:
        msg = f"rate {rate!r} is out of bounds; give 0, or {_MIN_RATE:g} to {_MAX_RATE:g} journeys per second"
        raise InvalidInput(msg)
    return rate
