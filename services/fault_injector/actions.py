"""What the injector does to the target: actions, carried out by worker threads, and their outcomes.

An instance may take seconds to answer (a paused one never does), so the loop's thread never waits for one.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

from microservo.domain.faults.base import Wire
from microservo.errors import Fatal, MicroServoError, Retryable
from microservo.platforms.mechanism import Confirmation, Mechanism
from microservo.platforms.platform import Platform

logger = logging.getLogger(__name__)

Verb = Literal["apply", "recover", "check", "release"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do on one instance; releasing names a mechanism, all else a fault."""

    verb: Verb
    instance: str
    mechanism: str = ""
    fault_id: str = ""
    wire: Wire = ("", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an action: a confirmation, whether the fault is in force, what was released, an error."""

    action: Action
    confirmation: Confirmation | None = None
    holds: bool = False
    released: tuple[str, ...] = ()
    error: MicroServoError | None = None


class Hands:
    """Carries out one action at a time, in whichever thread calls.

    Args:
        owned: kinds by id of the faults that should be in force on an instance, asked at that moment.
    """

    def __init__(
        self,
        *,
        platform: Platform,
        mechanisms: Mapping[str, Mechanism],
        owned: Callable[[str], Mapping[str, str]],
    ) -> None:
        self._platform = platform
        self._mechanisms = mechanisms
        self._owned = owned

    def perform(self, action: Action) -> Outcome:
        """What came of the action; never raises."""
        try:
            return self._perform(action)
        except MicroServoError as error:
            return Outcome(action=action, error=error)
        except Exception as error:
            logger.exception("%s of %s on %s broke", action.verb, action.fault_id, action.instance)
            msg = f"{action.verb} broke with {type(error).__name__}: {error}"
            return Outcome(action=action, error=Fatal(msg))

    def _perform(self, action: Action) -> Outcome:
        instance = action.instance
        if action.verb == "release":
            strangers = self._mechanisms[action.mechanism].release_unowned(
                instance, lambda: self._owned(instance)
            )
            return Outcome(action=action, released=tuple(strangers))
        mechanism = self._mechanism(action.wire[0])
        if action.verb == "check":
            return Outcome(action=action, holds=mechanism.holds(instance, action.fault_id, action.wire))
        act = mechanism.apply if action.verb == "apply" else mechanism.recover
        return Outcome(action=action, confirmation=act(instance, action.fault_id, action.wire))

    def _mechanism(self, kind: str) -> Mechanism:
        found = self._platform.mechanisms(kind)
        if not found:
            msg = f"the target can't carry {kind} any more"
            raise Retryable(msg)
        return found[0]


class Workers(Protocol):
    """Where actions go and outcomes come from."""

    def use(self, hands: Hands) -> None:
        """Tells whose hands carry out what is submitted from now on."""

    def submit(self, action: Action) -> None: ...

    def outcomes(self) -> list[Outcome]:
        """The outcomes since the last call; never waits."""


class ThreadWorkers:
    """`Workers` on threads of their own."""

    def __init__(self, *, threads: int = 16) -> None:
        self._hands: Hands | None = None
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="hands")
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def use(self, hands: Hands) -> None:
        self._hands = hands

    def submit(self, action: Action) -> None:
        assert self._hands is not None
        perform = self._hands.perform
        self._pool.submit(lambda: self._done.put(perform(action)))

    def outcomes(self) -> list[Outcome]:
        found: list[Outcome] = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def close(self) -> None:
        """Drops what has not begun; what has begun ends by its own timeouts."""
        self._pool.shutdown(wait=False, cancel_futures=True)
