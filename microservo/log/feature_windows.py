"""Windows on `feature-windows` as algorithms read them: first revisions of a run, in order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from microservo.adapters.broker import Broker, Message
from microservo.errors import InvalidMessage
from microservo.log.ranges import Ranges, read_ranges
from schemas.codec import SchemaError, decode_as
from schemas.envelope import HEARTBEAT_KEY
from schemas.records import FeatureWindow

Reject = Callable[[Message, str], None]
"""Takes a message that can't be read, and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A window, and the message that it came in."""

    window: FeatureWindow
    message: Message


def read_window(message: Message, run_id: str) -> FeatureWindow | None:
    """The window that a message holds; None for heartbeats, later revisions and other runs.

    Raises:
        InvalidMessage: it holds no readable window.
    """
    if message.key == HEARTBEAT_KEY and message.value is None:
        return None
    if message.header("run") not in {None, run_id.encode()}:
        return None
    if message.value is None:
        msg = "a message without a value that is no heartbeat; expected a FeatureWindow"
        raise InvalidMessage(msg)
    try:
        window = decode_as(FeatureWindow, message.value)
    except SchemaError as error:
        raise InvalidMessage(str(error)) from error
    return window if window.revision == 0 and window.run_id == run_id else None


def past_windows(
    broker: Broker, ranges: Ranges, run_id: str, *, reject: Reject | None = None
) -> Iterator[Received]:
    """The windows of a run in these ranges, those of all partitions in one order of time.

    Args:
        broker: where they are.
        ranges: what is read.
        run_id: of the run.
        reject: takes what can't be read, and why; by default it is passed over, for it lies on the
            dead-letter topic since it was first met.

    Raises:
        Retryable: the broker stopped giving messages.
    """
    with ExitStack() as stack:
        # A reader for each: one consumer would give one partition in large pieces, hours ahead of others.
        readers = [
            _windows(stack, broker, {partition: bounds}, run_id, reject)
            for partition, bounds in sorted(ranges.items())
            if bounds[0] < bounds[1]
        ]
        yield from heapq.merge(*readers, key=lambda each: (each.window.start_us, each.window.service))


def _windows(
    stack: ExitStack, broker: Broker, ranges: Ranges, run_id: str, reject: Reject | None
) -> Iterator[Received]:
    consumer = stack.enter_context(broker.consumer(group_id=None))
    for message in read_ranges(consumer, ranges, compacted=True):
        try:
            window = read_window(message, run_id)
        except InvalidMessage as error:
            if reject is not None:
                reject(message, str(error))
            continue
        if window is not None:
            yield Received(window=window, message=message)
