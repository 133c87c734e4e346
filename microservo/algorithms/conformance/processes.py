"""The processes that checks ask, and made-up windows and cases to ask them of."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import numpy as np
from numpy.typing import NDArray

from microservo.algorithms.declaration import Declaration
from microservo.algorithms.session import Case, Opened, Session

Float64 = NDArray[np.float64]
OpenSession = Callable[[], AbstractContextManager[Session]]
"""A new process each time, not opened yet."""

NAMES = (
    "log/severity/error",
    "log/severity/info",
    "log/template/order <*> placed",
    "metric/process.cpu.utilization/mean",
    "metric/process.memory.usage/mean",
    "request/*/count",
    "request/*/error_share",
    "request/*/p50_ms",
    "request/*/p90_ms",
    "request/*/p99_ms",
)
"""Features as windows have them."""
_LEVELS = np.array([2.0, 40.0, 20.0, 0.3, 2e8, 60.0, 0.02, 5.0, 12.0, 30.0])
_SIGMAS = np.array([1.0, 5.0, 3.0, 0.05, 5e6, 6.0, 0.01, 0.5, 1.5, 5.0])
ODD_SIGMAS = 8.0
WARM_UP = 700
SHORT_WARM_UP = 300
_LEARNED_AT_ONCE = 20
_LEARNING_S = 30.0
SERVICES = ("cart", "checkout", "frontend", "payment")
BROKEN = "payment"
_GRAPH = (("frontend", "cart"), ("frontend", "checkout"), ("checkout", "payment"))
_WINDOW_US = 5_000_000
CHANGED = {"slow": (7, 8, 9), "loud": (0, 1)}
"""Made-up kinds of failures, by the places of the features that change."""


class Failed(Exception):
    """A check does not hold; the message says what was seen and what was expected."""


class Processes:
    """The processes that checks ask: one for most of them, since to start one costs more than to ask it.

    Args:
        open_session: starts one.
        declaration: of the algorithm.
    """

    def __init__(self, open_session: OpenSession, declaration: Declaration) -> None:
        self.declaration = declaration
        self._open_session = open_session
        self._stack = ExitStack()
        self._first: Session | None = None
        self._second: Session | None = None
        self._is_usual = False
        # An algorithm may look at features that others have not.
        asked = tuple(_example_of(pattern) for pattern in declaration.only)
        self.names = (*NAMES, *(name for name in asked if name not in NAMES))
        added = len(self.names) - len(NAMES)
        self.levels, self.sigmas = np.r_[_LEVELS, np.full(added, 10.0)], np.r_[_SIGMAS, np.ones(added)]
        self.opened: Opened | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def first(self) -> Session:
        """The one that most are tried on; another one after `drop`."""
        if self._first is None:
            session = self._stack.enter_context(self._open_session())
            self.opened = session.open()
            self._first = session
        return self._first

    def second(self) -> Session:
        """Another one, to hold the first one against."""
        if self._second is None:
            self._second = self._stack.enter_context(self._open_session())
            self._second.open()
        return self._second

    def usual(self) -> Session:
        """The first one, which has learned what is normal of the service `usual`."""
        session = self.first()
        if not self._is_usual:
            self.trained("usual")
            self._is_usual = True
        return session

    def trained(self, service: str, windows: int = WARM_UP, seed: int = 1) -> Session:
        """The first one, which has learned what is normal of a service that no other check has."""
        session, rows = self.first(), self.normal(rng_of(seed), windows)
        began_s = time.monotonic()
        for begin in range(0, windows, _LEARNED_AT_ONCE):
            if time.monotonic() - began_s > _LEARNING_S:
                msg = f"it learned {begin} windows in {_LEARNING_S:g} s; expected {windows}: make it faster"
                raise Failed(msg)
            session.learn(service, self.names, rows[begin : begin + _LEARNED_AT_ONCE])
        return session

    def normal(self, rng: np.random.Generator, windows: int) -> Float64:
        """Windows as they are without a fault, shape (windows, features)."""
        return drawn(rng, self.levels, self.sigmas, windows)

    def drop(self) -> None:
        """Ends all of them."""
        self._first = self._second = None
        self._is_usual = False
        self._stack.close()


def case_of(service: str, kind: str = "", seed: int = 0) -> Case:
    """A made-up case in which one service changed, in all its features or those of a kind."""
    rng, windows, since = rng_of(seed), 60, 54
    start_us = np.arange(windows, dtype=np.int64) * _WINDOW_US
    features = {name: (NAMES, drawn(rng, _LEVELS, _SIGMAS, windows)) for name in SERVICES}
    changed = list(CHANGED.get(kind, range(len(NAMES))))
    features[service][1][since:, changed] += ODD_SIGMAS * _SIGMAS[changed]
    return Case(alarm_us=int(start_us[since]), start_us=start_us, features=features, graph=_GRAPH)


def rng_of(seed: int) -> np.random.Generator:
    """What draws, the same each time."""
    return np.random.default_rng(seed)


def drawn(rng: np.random.Generator, levels: Float64, sigmas: Float64, windows: int) -> Float64:
    """Windows about some levels, not below 0, shape (windows, features)."""
    found: Float64 = np.abs(levels + sigmas * rng.normal(size=(windows, len(levels))))
    return found


def _example_of(pattern: str) -> str:
    """A name that a pattern matches, as far as it has stars only."""
    return pattern.replace("[*]", "\0").replace("*", "any").replace("\0", "*")
