"""Acting on the target: actions go in, what came of them comes out as events.

An instance may take seconds to answer (a paused one never does), so the loop's thread never waits for one.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Protocol

from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.decider.actions import Apply, Check, Count, OnInstance, Recover, Release
from microservo.domain.faults.decider.events import (
    ApplyConfirmed,
    ApplyRefused,
    ApplyUnanswered,
    Checked,
    Counted,
    Event,
    RecoveryConfirmed,
    RecoveryUnanswered,
    ReleaseUnanswered,
)
from microservo.errors import InvalidInput, MicroServoError, Retryable
from microservo.platforms.mechanism import Mechanism
from microservo.platforms.platform import Platform

logger = logging.getLogger(__name__)

Performable = Apply | Recover | Check | Count | Release


class Performer:
    """Carries out one action at a time, in whichever thread calls.

    A kind may be carried by several mechanisms: the first that does not refuse applies it, and recovers it.
    After a restart it is not known which one that was, so all of them are asked.

    Args:
        platform: where the target is.
        clock: epoch microseconds UTC.
        owned: kinds by id of the faults that should be in force on an instance, asked at that moment.
    """

    def __init__(
        self, platform: Platform, clock: Callable[[], int], owned: Callable[[str], Mapping[str, str]]
    ) -> None:
        self._platform = platform
        self._clock = clock
        self._owned = owned
        self._carriers: dict[tuple[str, str], Mechanism] = {}

    def perform(self, action: Performable) -> Event | None:
        """What came of the action; None where nothing needs to be known. Never raises."""
        try:
            if isinstance(action, Release):
                return self._release(action)
            if isinstance(action, Apply):
                return self._apply(action)
            if isinstance(action, Recover):
                return self._recover(action)
            return self._check(action) if isinstance(action, Check) else self._count(action)
        except MicroServoError as error:
            return self._failed(action, error)
        except Exception as error:
            logger.exception("%s broke", action)
            msg = f"{type(action).__name__.lower()} broke with {type(error).__name__}: {error}"
            return self._failed(action, MicroServoError(msg))

    def _apply(self, action: Apply) -> Event:
        mechanisms = self._platform.mechanisms(action.wire[0])
        refusals = []
        for mechanism in mechanisms:
            try:
                confirmed = mechanism.apply(action.instance, action.fault_id, action.wire)
            except InvalidInput as error:
                refusals.append(str(error))
                continue
            self._carriers[action.instance, action.fault_id] = mechanism
            return self._of(action, ApplyConfirmed, **asdict(confirmed))
        raise InvalidInput("; ".join(refusals) or f"nothing on the target carries {action.wire[0]}")

    def _recover(self, action: Recover) -> Event:
        found = [
            mechanism.recover(action.instance, action.fault_id, action.wire)
            for mechanism in self._carriers_of(action)
        ]
        if not found:
            msg = f"nothing on the target carries {action.wire[0]}; waiting"
            raise Retryable(msg)
        # Who has measured an end has carried it; the others only know that they hold nothing.
        last = max(found, key=lambda confirmed: (confirmed.within_us is not None, confirmed.at_us))
        self._carriers.pop((action.instance, action.fault_id), None)
        return self._of(action, RecoveryConfirmed, **asdict(last))

    def _check(self, action: Check) -> Event:
        # All are asked: a process that has just started adopts by it what it holds.
        answers = [
            mechanism.holds(action.instance, action.fault_id, action.wire)
            for mechanism in self._carriers_of(action)
        ]
        return self._of(action, Checked, holds=any(answers))

    def _count(self, action: Count) -> Event:
        counts = [
            mechanism.acted(action.instance, action.fault_id, action.wire)
            for mechanism in self._carriers_of(action)
        ]
        return self._of(
            action, Counted, acted=max((each for each in counts if each is not None), default=None)
        )

    def _release(self, action: Release) -> Event | None:
        problem: MicroServoError | None = None
        for mechanism in every_mechanism(self._platform):
            try:
                released = mechanism.release_unowned(action.instance, lambda: self._owned(action.instance))
            except MicroServoError as error:
                # The others are asked all the same.
                problem = error
                continue
            if released:
                logger.warning("removed from %s what no fault owns: %s", action.instance, ", ".join(released))
        if problem is not None:
            raise problem
        return None

    def _carriers_of(self, action: OnInstance) -> Sequence[Mechanism]:
        carrier = self._carriers.get((action.instance, action.fault_id))
        return self._platform.mechanisms(action.wire[0]) if carrier is None else [carrier]

    def _failed(self, action: Performable, error: MicroServoError) -> Event:
        if isinstance(action, Release):
            return ReleaseUnanswered(
                now_us=self._clock(), instance=action.instance, attempts=action.attempts + 1
            )
        if isinstance(action, Check):
            return self._of(action, Checked, holds=None)
        if isinstance(action, Count):
            return self._of(action, Counted, acted=None)
        if isinstance(action, Recover):
            logger.info("%s on %s is not recovered yet: %s", action.fault_id, action.instance, error)
            return self._of(action, RecoveryUnanswered, problem=str(error))
        refused = ApplyUnanswered if isinstance(error, Retryable) else ApplyRefused
        return self._of(action, refused, problem=str(error))

    def _of(self, action: OnInstance, event_type: Callable[..., Event], **findings: object) -> Event:
        return event_type(
            now_us=self._clock(), fault_id=action.fault_id, instance=action.instance, **findings
        )


def every_mechanism(platform: Platform) -> Iterator[Mechanism]:
    """The mechanisms of a platform; first what ends pauses, for who is paused answers no other."""
    seen: set[str] = set()
    for kind in ("process-pause", *KINDS):
        for mechanism in platform.mechanisms(kind):
            if mechanism.name not in seen:
                seen.add(mechanism.name)
                yield mechanism


class Workers(Protocol):
    """Where actions go and events come from."""

    def submit(self, action: Performable) -> None: ...

    def events(self) -> list[Event]:
        """What came of actions since the last call; never waits."""


class ThreadWorkers:
    """`Workers` on threads of their own."""

    def __init__(self, performer: Performer, *, threads: int = 32) -> None:
        self._perform = performer.perform
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="act")
        self._done: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def submit(self, action: Performable) -> None:
        self._pool.submit(self._run, action)

    def events(self) -> list[Event]:
        found: list[Event] = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def close(self) -> None:
        """Drops what has not begun; what has begun ends by its own timeouts."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, action: Performable) -> None:
        event = self._perform(action)
        if event is not None:
            self._done.put(event)
