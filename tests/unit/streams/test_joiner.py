"""When a message may be forgotten: in offset order, once nothing needs it, through rebalances."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from synthetic import Sent, Story, messages

from microservo.domain.join import stamp_of
from microservo.domain.watermarks import UNKNOWN
from microservo.domain.windows import ClosedWindow, WindowPolicy
from microservo.errors import Fatal, OffsetGap
from schemas.envelope import FOREVER_US
from streams.joiner import Joiner

POLICY = WindowPolicy()
STORY = Story(seconds=20)
SENT = messages(STORY, partitions=1)


@dataclass
class Event:
    """An event of the engine that remembers whether it was acknowledged."""

    acknowledged: bool = False

    def ack(self) -> bool:
        self.acknowledged = True
        return True


class Log:
    """A joiner and the events of what it was given."""

    def __init__(self) -> None:
        self.joiner = Joiner(0, POLICY, checkpoint=lambda _: UNKNOWN)
        self.offsets: dict[str, int] = {}
        self.events: list[Event] = []

    def take(self, one: Sent, offset: int | None = None) -> Event:
        at = self.offsets.get(one.topic, 0) if offset is None else offset
        self.offsets[one.topic] = at + 1
        event = Event()
        self.joiner.take(one.topic, at, one.value, stamp_of(one.headers), event)
        self.events.append(event)
        return event

    def take_all(self) -> list[ClosedWindow]:
        windows: list[ClosedWindow] = []
        for one in SENT:
            self.take(one)
            windows += self.joiner.windows()
        return windows


def test_nothing_is_acknowledged_before_its_windows_are_final() -> None:
    log = Log()
    log.take_all()
    log.joiner.release({STORY.run_id: STORY.start_us})
    assert not any(event.acknowledged for event, one in zip(log.events, SENT, strict=True) if one.value)


def test_everything_is_acknowledged_in_the_end() -> None:
    log = Log()
    log.take_all()
    log.joiner.release({STORY.run_id: FOREVER_US})
    assert all(event.acknowledged for event in log.events)


def test_what_is_delivered_again_is_held_again_and_changes_no_window() -> None:
    plain = [repr(window) for window in Log().take_all()]
    log = Log()
    windows: list[ClosedWindow] = []
    half = len(SENT) // 2
    for one in SENT[:half]:
        log.take(one)
        windows += log.joiner.windows()
    log.joiner.abandon()
    log.offsets.clear()
    for one in SENT:
        log.take(one)
        windows += log.joiner.windows()
    assert [repr(window) for window in windows] == plain
    log.joiner.release({STORY.run_id: FOREVER_US})
    assert all(event.acknowledged for event in log.events[half:])


def test_what_was_final_before_it_is_delivered_again_is_acknowledged_at_once() -> None:
    log = Log()
    log.take_all()
    log.joiner.abandon()
    log.joiner.release({STORY.run_id: FOREVER_US})
    assert log.take(SENT[0], 0).acknowledged


def test_a_gap_stops_the_worker() -> None:
    log = Log()
    log.take(SENT[0], 5)
    with pytest.raises(OffsetGap, match="expected offset 6, got 8"):
        log.take(SENT[0], 8)


def test_a_message_from_before_the_joiner_began_stops_the_worker() -> None:
    log = Log()
    log.take(SENT[0], 5)
    with pytest.raises(Fatal, match="offset 4 was delivered after 5"):
        log.take(SENT[0], 4)
