"""Managers that fall silent: the run goes on without them, and nobody else is taken out of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from recorded_run import experiment
from synthetic import Story

from microservo.domain.join import stamp_of
from microservo.domain.joined_topics import SOURCES
from microservo.domain.watermarks import UNKNOWN
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidInput, Retryable
from microservo.log.reader import read_state, read_topic
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.log.writers import GONE_AFTER_US, retire_writer
from microservo.testing import ManualClock, MemoryBroker
from schemas.catalogue import EXPERIMENTS, SERVICE_ACTIONS, SERVICE_FAULTS
from schemas.envelope import Stamp
from schemas.records import Experiment
from streams.joiner import Joiner
from streams.silent import SilentManagers

S = 1_000_000
STORY = Story()
RUN = replace(experiment(STORY, {}, {}), status="running")
MANAGER = f"writer-of-{SERVICE_ACTIONS}"


class Event:
    def ack(self) -> bool:
        return True


class Labeller:
    """A joiner, and whom it asks to be retired."""

    def __init__(self) -> None:
        self.joiner = Joiner(0, WindowPolicy(), checkpoint=lambda _: UNKNOWN)
        self.joiner.update_run(STORY.run_id, RUN)
        self.retired: list[tuple[str, str]] = []
        self.problem: Exception | None = None
        self.now_s = 0.0
        self._silent = SilentManagers(self._retire, clock_s=lambda: self.now_s)
        self._offsets = dict.fromkeys(SOURCES, 0)

    def promise(self, seconds: float, *, but: str = "") -> None:
        """Each source, but one, promises so many seconds of the run."""
        for source in SOURCES:
            if source == but:
                continue
            stamp = Stamp(
                run=STORY.run_id,
                watermark_us=STORY.start_us + round(seconds * S),
                writer=f"writer-of-{source}",
                sequence=self._offsets[source],
                total=0,
            )
            self.joiner.process_message(
                source, self._offsets[source], None, stamp_of(stamp.headers()), Event()
            )
            self._offsets[source] += 1

    def look(self) -> list[tuple[str, str]]:
        """Whom it has had retired by now."""
        asyncio.run(self._silent.look([self.joiner]))
        return self.retired

    def _retire(self, run_id: str, writer: str) -> None:
        if self.problem:
            raise self.problem
        self.retired.append((run_id, writer))


def test_a_manager_that_is_silent_for_a_minute_is_retired() -> None:
    labeller = Labeller()
    labeller.promise(10)
    labeller.promise(70, but=SERVICE_ACTIONS)
    assert labeller.look() == []
    labeller.promise(70.1, but=SERVICE_ACTIONS)
    assert labeller.look() == [(STORY.run_id, MANAGER)]


def test_who_else_is_silent_is_waited_for() -> None:
    labeller = Labeller()
    labeller.promise(10)
    labeller.promise(1000, but=SERVICE_FAULTS)
    assert labeller.look() == []


@pytest.mark.parametrize("problem", [InvalidInput("it still writes"), Retryable("the broker is away")])
def test_one_that_can_not_be_retired_now_is_asked_about_again_some_time_later(problem: Exception) -> None:
    labeller = Labeller()
    labeller.problem = problem
    labeller.promise(10)
    labeller.promise(100, but=SERVICE_ACTIONS)
    assert labeller.look() == []
    labeller.problem = None
    labeller.now_s = 9.9
    assert labeller.look() == []
    labeller.now_s = 10
    assert labeller.look() == [(STORY.run_id, MANAGER)]


def test_whether_it_is_silent_is_decided_by_the_log_and_its_final_stamp_lets_windows_go_on() -> None:
    broker, clock = MemoryBroker(), ManualClock(STORY.start_us)
    broker.admin().ensure_topics(topic_specs())
    write_run(broker, RUN, process="system", clock=clock)
    last = Stamp(run=STORY.run_id, watermark_us=STORY.start_us, writer=MANAGER, sequence=0, total=0)
    with broker.producer() as producer:
        producer.send(
            SERVICE_ACTIONS,
            key=b"heartbeat",
            value=None,
            headers=last.headers(),
            partition=0,
            timestamp_us=clock(),
        )
        producer.flush(5)

    def retire() -> None:
        retire_writer(
            broker,
            run_id=STORY.run_id,
            writer=MANAGER,
            process="streams",
            clock=clock,
            quiet_us=GONE_AFTER_US,
        )

    clock.advance(GONE_AFTER_US - S)
    with pytest.raises(InvalidInput, match="still writes"):
        retire()
    clock.advance(S)
    retire()
    labeller = Labeller()
    labeller.promise(100, but=SERVICE_ACTIONS)
    assert list(labeller.joiner.windows()) == []
    before_us = labeller.joiner.windower.passed(STORY.run_id).final_us
    for number, message in enumerate(
        each for each in read_topic(broker, SERVICE_ACTIONS) if each.partition == 0
    ):
        stamp = stamp_of(message.headers)
        labeller.joiner.process_message(SERVICE_ACTIONS, number, message.value, stamp, Event())
    list(labeller.joiner.windows())
    assert before_us < STORY.start_us
    assert labeller.joiner.windower.passed(STORY.run_id).final_us == STORY.start_us + 70 * S
    ends = {
        each.writer: each.until_us
        for each in read_state(broker, EXPERIMENTS, Experiment)[STORY.run_id].writers
    }
    assert {writer for writer, until_us in ends.items() if until_us is not None} == {MANAGER}
