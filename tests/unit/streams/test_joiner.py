"""When a message may be forgotten: in offset order, once nothing needs it, through rebalances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_run import experiment
from synthetic import Sent, Story, messages

from microservo.domain.closed_window import ClosedWindow
from microservo.domain.join import stamp_of
from microservo.domain.watermarks import UNKNOWN
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import Fatal, OffsetGap
from schemas.envelope import FOREVER_US
from schemas.records import Experiment
from streams.joiner import Joiner

POLICY = WindowPolicy()
STORY = Story(seconds=20)
SENT = messages(STORY, partitions=1)
RUN = replace(experiment(STORY, {}, {}), status="running")


@dataclass
class Event:
    """An event of the engine that remembers whether it was acknowledged."""

    acknowledged: bool = False

    def ack(self) -> bool:
        self.acknowledged = True
        return True


class Log:
    """A joiner and the events of what it was given."""

    def __init__(self, checkpoint_us: int = UNKNOWN, offsets: Mapping[str, int] | None = None) -> None:
        self.joiner = Joiner(0, POLICY, checkpoint=lambda _: checkpoint_us)
        self.joiner.update_run(STORY.run_id, RUN)
        self.offsets: dict[str, int] = dict(offsets or {})
        self.events: list[Event] = []

    def process(self, one: Sent, offset: int | None = None) -> Event:
        at = self.offsets.get(one.topic, 0) if offset is None else offset
        self.offsets[one.topic] = at + 1
        event = Event()
        self.joiner.process_message(one.topic, at, one.value, stamp_of(one.headers), event)
        self.events.append(event)
        return event

    def take_all(self) -> list[ClosedWindow]:
        windows: list[ClosedWindow] = []
        for one in SENT:
            self.process(one)
            windows += self.joiner.windows()
        return windows


ALL_WINDOWS = set(map(repr, Log().take_all()))


def test_nothing_is_acknowledged_before_its_windows_are_final() -> None:
    log = Log()
    log.take_all()
    log.joiner.release({STORY.run_id: STORY.start_us})
    assert not any(event.acknowledged for event, one in zip(log.events, SENT, strict=True) if one.value)


def test_what_a_kept_window_needs_is_acknowledged_only_when_its_labels_are_settled() -> None:
    """What is measured of the first fault comes 40 s after its end."""
    log = Log()
    for one in SENT:
        log.process(one)
        windows = list(log.joiner.windows())
        log.joiner.release(log.joiner.final_us())
        if any(window.revision >= 2 for window in windows):
            break
    events = zip(log.events, SENT, strict=False)
    waiting = [one.topic for event, one in events if one.value and not event.acknowledged]
    assert set(waiting) >= {"service-faults", "fault-effects"}
    assert log.joiner.final_us()[STORY.run_id] < log.joiner.windower.passed(STORY.run_id).final_us


@settings(max_examples=25, deadline=None)
@given(cut=st.floats(0.05, 0.99), pace=st.integers(1, 400))
def test_a_worker_that_goes_on_from_the_checkpoint_gives_the_same_windows(cut: float, pace: int) -> None:
    """It reads what was not acknowledged, and knows nothing but the checkpoint."""
    stop = int(len(SENT) * cut)
    first, given_out = Log(), set[str]()
    checkpoint_us = UNKNOWN
    for number, one in enumerate(SENT[:stop]):
        first.process(one)
        given_out |= set(map(repr, first.joiner.windows()))
        if number % pace == 0:
            checkpoint_us = first.joiner.final_us()[STORY.run_id]
            first.joiner.release({STORY.run_id: checkpoint_us})
    places = list(zip(first.events, SENT[:stop], strict=True))
    acknowledged = Counter(one.topic for event, one in places if event.acknowledged)
    second = Log(checkpoint_us, acknowledged)
    for one in [one for event, one in places if not event.acknowledged] + SENT[stop:]:
        second.process(one)
        given_out |= set(map(repr, second.joiner.windows()))
    assert given_out == ALL_WINDOWS


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
        log.process(one)
        windows += log.joiner.windows()
    log.joiner.abandon()
    log.offsets.clear()
    for one in SENT:
        log.process(one)
        windows += log.joiner.windows()
    assert [repr(window) for window in windows] == plain
    log.joiner.release({STORY.run_id: FOREVER_US})
    assert all(event.acknowledged for event in log.events[half:])


def test_what_was_final_before_it_is_delivered_again_is_acknowledged_at_once() -> None:
    log = Log()
    log.take_all()
    log.joiner.abandon()
    log.joiner.release({STORY.run_id: FOREVER_US})
    assert log.process(SENT[0], 0).acknowledged


def test_a_gap_stops_the_worker() -> None:
    log = Log()
    log.process(SENT[0], 5)
    with pytest.raises(OffsetGap, match="expected offset 6, got 8"):
        log.process(SENT[0], 8)


def test_a_message_from_before_the_joiner_began_stops_the_worker() -> None:
    log = Log()
    log.process(SENT[0], 5)
    with pytest.raises(Fatal, match="offset 4 was delivered after 5"):
        log.process(SENT[0], 4)


def run_that_is_over(ends: dict[str, int]) -> Experiment:
    return experiment(STORY, {}, {f"{source}/0": end for source, end in ends.items()})


def test_a_run_that_is_over_is_closed_once_it_was_read_to_its_end() -> None:
    log = Log()
    log.take_all()
    ends = dict(log.offsets)
    log.joiner.update_run(
        STORY.run_id, run_that_is_over(ends | {"service-faults": ends["service-faults"] + 1})
    )
    list(log.joiner.windows())
    assert log.joiner.open_runs == [STORY.run_id]
    log.process([one for one in SENT if one.topic == "service-faults"][-1])
    list(log.joiner.windows())
    assert log.joiner.open_runs == []
    assert log.joiner.final_us() == {STORY.run_id: FOREVER_US}


def test_what_comes_after_the_end_of_a_run_is_passed_over_and_acknowledged() -> None:
    log = Log()
    log.take_all()
    log.joiner.update_run(STORY.run_id, run_that_is_over(log.offsets))
    list(log.joiner.windows())
    late = log.process(next(one for one in SENT if one.value))
    assert list(log.joiner.windows()) == []
    log.joiner.release(log.joiner.final_us())
    assert late.acknowledged
    assert all(event.acknowledged for event in log.events)


def test_a_run_whose_record_names_no_end_stays_open() -> None:
    log = Log()
    log.take_all()
    log.joiner.update_run(STORY.run_id, run_that_is_over({}))
    list(log.joiner.windows())
    assert log.joiner.open_runs == [STORY.run_id]


def test_a_run_that_ended_before_there_was_a_topic_of_what_is_told_later_is_closed_too() -> None:
    log = Log()
    log.take_all()
    ends = {source: end for source, end in log.offsets.items() if source != "service-actions"}
    log.joiner.update_run(STORY.run_id, run_that_is_over(ends))
    list(log.joiner.windows())
    assert log.joiner.open_runs == []


def test_what_was_told_of_an_act_is_acknowledged_once_all_its_windows_are_final() -> None:
    log = Log()
    log.take_all()
    acts = [
        event
        for event, one in zip(log.events, SENT, strict=True)
        if one.value and one.topic == "service-actions"
    ]
    assert acts
    log.joiner.release({STORY.run_id: STORY.start_us + 8_000_000})
    assert not all(event.acknowledged for event in acts)
    log.joiner.release(log.joiner.final_us())
    assert all(event.acknowledged for event in acts)


def test_a_run_that_was_closed_before_a_restart_stays_closed() -> None:
    log = Log()
    log.joiner = Joiner(0, POLICY, checkpoint=lambda _: FOREVER_US)
    log.joiner.update_run(STORY.run_id, None)
    log.take_all()
    assert log.joiner.open_runs == []


def test_windows_wait_until_it_is_known_that_nobody_joined() -> None:
    """Unless the run is over: nobody joins that any more."""
    log = Log()
    windows: list[ClosedWindow] = []
    for one in SENT:
        log.process(one)
        windows += log.joiner.windows(STORY.start_us + 12 * 1_000_000)
    assert max(window.end_us for window in windows) == STORY.start_us + 10 * 1_000_000
    log.joiner.update_run(STORY.run_id, run_that_is_over(log.offsets))
    windows += log.joiner.windows(STORY.start_us)
    assert len(windows) == len(Log().take_all())
