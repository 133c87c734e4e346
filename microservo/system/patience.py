"""Doing again what fails for now."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from microservo.errors import Retryable

T = TypeVar("T")

_PAUSE_S = 0.2


def patiently(act: Callable[[], T], timeout_s: float) -> T:
    """What `act` returns once it succeeds; after `timeout_s` seconds its Retryable goes through."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return act()
        except Retryable:
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(_PAUSE_S)
