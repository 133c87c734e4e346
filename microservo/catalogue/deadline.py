"""Waiting for a database no longer than a list may take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

R = TypeVar("R")


def within(ask: Callable[[Callable[[], None]], R], *, first_s: float, rest_s: float) -> R | None:
    """What a function returns; None where it takes longer.

    It runs on a thread of its own, because no driver keeps one deadline over finding the address, connecting,
    signing in and answering. A thread that is given up ends when its driver gives up, or with the process.

    Args:
        ask: is given a function to call once the database has answered.
        first_s: seconds until that call.
        rest_s: seconds from there on.

    Raises:
        Exception: what `ask` raised in time.
    """
    answered = threading.Event()
    done: Future[R] = Future()

    def run() -> None:
        try:
            done.set_result(ask(answered.set))
        except Exception as error:
            # Not swallowed: it is raised by whoever still waits.
            done.set_exception(error)

    threading.Thread(target=run, name="catalogue", daemon=True).start()
    wait([done], first_s)
    if not done.done() and answered.is_set():
        wait([done], rest_s)
    return done.result() if done.done() else None
