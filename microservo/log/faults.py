"""Faults on the log: their states on `faults`, their whole history on `fault-events`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from microservo.adapters.broker import Broker
from microservo.domain.faults.decider.snapshot import events_of
from microservo.domain.faults.lifecycle import LAST_STATES, WHOLE
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.log.reader import read_state
from microservo.log.subscription import Subscription
from schemas.codec import SchemaError
from schemas.records import FaultEvent, FaultSnapshot, FaultState

logger = logging.getLogger(__name__)

_POLL_S = 0.1


def latest_events(broker: Broker, topic: str) -> list[FaultEvent]:
    """The newest event of each instance of the faults that are open or were closed last, by their requests.

    A fault that no instance was touched by is there with its event about the whole. However long the
    history, only the states are read.

    Args:
        broker: where the topic lies.
        topic: physical name of `faults`.
    """
    states = read_state(broker, topic, FaultSnapshot)
    return in_order(event for state in states.values() for event in _readable(state))


def all_latest_events(broker: Broker, topic: str) -> list[FaultEvent]:
    """As `latest_events`, but of every fault there ever was: the whole history is read.

    Args:
        broker: where the topic lies.
        topic: physical name of `fault-events`.
    """
    newest: dict[tuple[str, str], FaultEvent] = {}
    with Subscription(broker, topic, start="earliest", until_end=True) as events:
        for received in events:
            if isinstance(received.record, FaultEvent):
                keep_newest(newest, received.record)
    return in_order(newest.values())


def _readable(state: FaultSnapshot) -> Sequence[FaultEvent]:
    try:
        return events_of(state)
    except SchemaError as error:
        logger.warning("the state of fault %s can't be read: %s", state.fault_id, error)
        return ()


def keep_newest(newest: dict[tuple[str, str], FaultEvent], event: FaultEvent) -> None:
    """Enters the event, unless a later version of it is known."""
    key = (event.fault_id, event.instance)
    known = newest.get(key)
    if known is None or known.version <= event.version:
        newest[key] = event


def in_order(events: Iterable[FaultEvent]) -> list[FaultEvent]:
    """Events by request, fault and instance, without those about the whole where its instances speak."""
    found = list(events)
    with_instances = {event.fault_id for event in found if event.instance != WHOLE}
    kept = [event for event in found if event.instance != WHOLE or event.fault_id not in with_instances]
    return sorted(kept, key=lambda event: (event.requested_at_us, event.fault_id, event.instance))


def wait_for_event(
    broker: Broker, topic: str, fault_id: str, state: FaultState, timeout_s: float
) -> FaultEvent:
    """The event with which a fault has reached a state on each instance that it has spoken of.

    Raises:
        InvalidInput: it was rejected.
        MicroServoError: it ended in another way.
        Unavailable: `timeout_s` seconds have passed.
    """
    deadline_s = time.monotonic() + timeout_s
    reached: dict[str, bool] = {}
    last: FaultEvent | None = None
    with Subscription(broker, topic, start="earliest") as events:
        while time.monotonic() < deadline_s:
            received = events.poll(_POLL_S)
            if received is None or not isinstance(received.record, FaultEvent):
                continue
            if received.record.fault_id != fault_id:
                continue
            last = received.record
            if _is_reached(reached, last, state):
                return last
            _refuse_other_end(last, state)
    where = f"its last state is {last.state}" if last else "nothing was heard of it; is the injector running?"
    msg = f"fault {fault_id} did not become {state} within {timeout_s:g} s: {where}"
    raise Unavailable(msg)


def _is_reached(reached: dict[str, bool], event: FaultEvent, state: FaultState) -> bool:
    if event.instance != WHOLE:
        reached.pop(WHOLE, None)
    reached[event.instance] = reached.get(event.instance, False) or event.state == state
    return all(reached.values())


def _refuse_other_end(event: FaultEvent, state: FaultState) -> None:
    if event.state not in LAST_STATES or event.state == state:
        return
    msg = f"fault {event.fault_id} was {event.state}" + (f": {event.reason}" if event.reason else "")
    if event.state == "rejected":
        raise InvalidInput(msg)
    raise MicroServoError(msg)
