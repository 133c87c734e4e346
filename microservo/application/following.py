"""Following one fault: what has become of it so far, and every event that comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeGuard

from microservo.adapters.broker import Broker
from microservo.domain.faults.lifecycle import LAST_STATES, WHOLE
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.log.faults import in_order, keep_newest
from microservo.log.reader import tail
from microservo.log.subscription import Subscription, received_from
from schemas.records import FaultEvent, FaultState

POLL_S = 0.1
_NEWEST = 1000
"""Messages of each partition that are looked at for what happened to the fault just before."""


class FollowedFault:
    """The events of one fault, in the order of their versions; use it as a context.

    What lies among the newest messages of the topic comes first, so that nothing is missed between a request
    and its following; of an older fault only the newest event of each instance does. Costs no more after
    many faults than after few.

    Args:
        broker: where the events lie.
        topic: physical name of the topic of fault events.
        fault_id: the fault.
        known: gives the newest events of every fault; asked where `requested_at_us` is 0.
        requested_at_us: when it was requested, for one who has just done so: what an earlier fault of the
            same id went through is left out. 0 follows the newest of that id.

    Raises:
        InvalidInput: there is no such topic.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        fault_id: str,
        *,
        known: Callable[[], Iterable[FaultEvent]] = tuple,
        requested_at_us: int = 0,
    ) -> None:
        self.fault_id = fault_id
        self._since_us = requested_at_us
        self._newest: dict[tuple[str, str], FaultEvent] = {}
        self._reached: dict[str, set[FaultState]] = {}
        self._last = (0, 0)
        # Its place is fixed before we look back, so that no event falls between the two.
        self._coming = Subscription(broker, topic)
        try:
            self._waiting = deque(self._past(broker, topic, known))
        except BaseException:
            self._coming.close()
            raise

    @property
    def newest(self) -> list[FaultEvent]:
        """The newest event of each instance; of the whole fault while no instance has been touched."""
        return in_order(self._newest.values())

    @property
    def is_over(self) -> bool:
        """Whether the fault has ended on every instance."""
        return not self._waiting and bool(self._newest) and {e.state for e in self.newest} <= LAST_STATES

    def has_reached(self, state: FaultState) -> bool:
        """Whether every instance with an event has been in a state."""
        return bool(self._newest) and all(state in self._reached[event.instance] for event in self.newest)

    def poll(self, timeout_s: float) -> FaultEvent | None:
        """The next event if there is one within `timeout_s` seconds.

        Raises:
            Retryable: the broker is away for now.
        """
        if self._waiting:
            return self._kept(self._waiting.popleft())
        received = self._coming.poll(timeout_s)
        if received is None or not self._is_mine(received.record):
            return None
        return self._kept(received.record)

    def events(self, timeout_s: float) -> Iterator[FaultEvent]:
        """The events as they come, until the fault is over.

        Raises:
            Unavailable: it is not over after `timeout_s` seconds.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.is_over:
            if event := self.poll(POLL_S):
                yield event
            elif time.monotonic() > deadline_s:
                msg = f"fault {self.fault_id} was not over within {timeout_s:g} s: {self._where()}"
                raise Unavailable(msg)

    def wait_for(self, state: FaultState, timeout_s: float) -> FaultEvent:
        """The event with which the last instance reached a state.

        Raises:
            InvalidInput: the fault was rejected.
            MicroServoError: it ended on an instance without reaching the state there.
            Unavailable: `timeout_s` seconds have passed.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s or self._waiting:
            event = self.poll(POLL_S)
            if event is not None and self.has_reached(state):
                return event
            if not self._waiting:
                _refuse_end([each for each in self.newest if state not in self._reached[each.instance]])
        msg = f"fault {self.fault_id} did not become {state} within {timeout_s:g} s: {self._where()}"
        raise Unavailable(msg)

    def refuse_failure(self) -> None:
        """Raises what an instance ended with, if the fault was rejected (`InvalidInput`) or has failed."""
        _refuse_end([event for event in self.newest if event.state in ("rejected", "failed")])

    def close(self) -> None:
        """Leaves the topic."""
        self._coming.close()

    def _past(
        self, broker: Broker, topic: str, known: Callable[[], Iterable[FaultEvent]]
    ) -> list[FaultEvent]:
        """What has happened already, each event once, in the order of versions."""
        newest: list[FaultEvent] = []
        if not self._since_us:
            newest = [event for event in known() if event.fault_id == self.fault_id]
            self._since_us = max((event.requested_at_us for event in newest), default=0)
        records = [received_from(message).record for message in tail(broker, topic, _NEWEST)]
        events = [event for event in (*newest, *records) if self._is_mine(event)]
        return sorted({event.version: event for event in events}.values(), key=_order)

    def _is_mine(self, record: object) -> TypeGuard[FaultEvent]:
        return (
            isinstance(record, FaultEvent)
            and record.fault_id == self.fault_id
            and record.requested_at_us >= self._since_us
        )

    def _kept(self, event: FaultEvent) -> FaultEvent | None:
        if _order(event) <= self._last:
            return None
        self._last = _order(event)
        keep_newest(self._newest, event)
        self._reached.setdefault(event.instance, set()).add(event.state)
        return event

    def _where(self) -> str:
        if not self._newest:
            return "nothing was heard of it; is the injector running?"
        states = ", ".join(f"{event.instance or event.service} {event.state}" for event in self.newest)
        return f"it is {states}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _order(event: FaultEvent) -> tuple[int, int]:
    return event.requested_at_us, event.version


def _refuse_end(events: Iterable[FaultEvent]) -> None:
    """Raises how the first of these ended, if one did."""
    ended = next((event for event in events if event.state in LAST_STATES), None)
    if ended is None:
        return
    where = "" if ended.instance == WHOLE else f" on {ended.instance}"
    what = "failed" if ended.state == "failed" else f"was {ended.state}"
    msg = f"fault {ended.fault_id} {what}{where}" + (f": {ended.reason}" if ended.reason else "")
    raise InvalidInput(msg) if ended.state == "rejected" else MicroServoError(msg)
