"""Faults of schedules: requested when they are due, as anybody else would request them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf

from microservo.adapters.broker import Broker, Message, Partition
from microservo.domain.schedules import due, next_occurrences
from microservo.errors import InvalidInput
from microservo.log.publisher import Publisher
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from, state_of
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas.catalogue import FAULT_REQUESTS, FAULT_SCHEDULES, SCHEDULE_PROGRESS
from schemas.codec import SchemaError, decode_as
from schemas.records import FaultSchedule, ScheduleProgress

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 5.0
_TURN_S = 0.003
"""How long one call goes on, but for the schedule that it has begun with: a part of every label's latency."""
_SERVICE = "fault-injector"


class Scheduler:
    """Requests the faults of all schedules on `fault-requests`; belongs to one thread.

    A request is durable before the progress is that says so. After a crash in between it is made again, the
    same to the last byte, and whoever carries it out knows it already.

    Args:
        publisher: of requests and progress.
        clock: epoch microseconds UTC.
    """

    def __init__(self, publisher: Publisher, clock: Callable[[], int]) -> None:
        self._publisher = publisher
        self._clock = clock
        self._schedules: dict[str, FaultSchedule] = {}
        self._progress: dict[str, ScheduleProgress] = {}
        self._wake_us: dict[str, float] = {}
        """When there is something to do of each schedule; those that waited longest first."""

    def catch_up(self, broker: Broker, topic: Callable[[str], str]) -> dict[Partition, int]:
        """Reads all schedules, and gives where those begin that are made from now on.

        Nothing may be requested before: a schedule that was changed or removed would still count.

        Raises:
            InvalidInput: a topic is missing.
            Retryable: the broker is away for now.
        """
        with broker.consumer(group_id=None) as consumer:
            self._progress = state_of(consumer, topic(SCHEDULE_PROGRESS), ScheduleProgress)
            ranges = ranges_from(consumer, topic(FAULT_SCHEDULES))
            for message in read_ranges(consumer, ranges, compacted=True):
                self.handle(message)
        for schedule_id in self._progress.keys() - self._schedules.keys():
            self._forget(schedule_id)
        return {partition: end for partition, (_, end) in ranges.items()}

    def handle(self, message: Message) -> None:
        """Takes over a schedule as it is from now on; one that can't be read is logged and passed over."""
        if message.value is None:
            schedule_id = (message.key or b"").decode(errors="replace")
            self._wake_us.pop(schedule_id, None)
            if self._schedules.pop(schedule_id, None) is not None:
                self._forget(schedule_id)
            return
        try:
            schedule = decode_as(FaultSchedule, message.value)
            next(next_occurrences(schedule, schedule.valid_from_us), None)
        except (SchemaError, InvalidInput) as error:
            RECORDS_TOTAL.labels(_SERVICE, FAULT_SCHEDULES, "rejected").inc()
            logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)
            return
        RECORDS_TOTAL.labels(_SERVICE, FAULT_SCHEDULES, "in").inc()
        self._schedules[schedule.schedule_id] = schedule
        self._wake_us[schedule.schedule_id] = 0

    def tick(self) -> None:
        """Requests what is due; call it often.

        Whoever was away for a month has much to go through. That is done bit by bit and in turn, so that
        neither the loop nor another schedule waits for it.

        Raises:
            Retryable: the broker is busy; what was not requested yet is at the next call.
        """
        now_us = self._clock()
        awake = [schedule_id for schedule_id, wake_us in self._wake_us.items() if wake_us <= now_us]
        until_s = time.perf_counter() + _TURN_S
        for schedule_id in awake:
            wake_us = self._advance(self._schedules[schedule_id], now_us)
            del self._wake_us[schedule_id]
            self._wake_us[schedule_id] = wake_us
            if time.perf_counter() > until_s:
                return

    def _advance(self, schedule: FaultSchedule, now_us: int) -> float:
        """Does what is due of one schedule, and says when there is more to do."""
        found = due(schedule, self._progress.get(schedule.schedule_id), now_us)
        for request in found.requests:
            self._publisher.publish(request)
            RECORDS_TOTAL.labels(_SERVICE, FAULT_REQUESTS, "out").inc()
        if found.progress is not None:
            if found.requests:
                self._publisher.flush(FLUSH_TIMEOUT_S)
            self._publisher.publish(found.progress)
            self._progress[schedule.schedule_id] = found.progress
            RECORDS_TOTAL.labels(_SERVICE, SCHEDULE_PROGRESS, "out").inc()
            logger.info(
                "schedule %s: %d faults requested, %d skipped so far",
                *(schedule.schedule_id, found.progress.requested, found.progress.skipped),
            )
        return inf if found.next_us is None else found.next_us

    def _forget(self, schedule_id: str) -> None:
        self._progress.pop(schedule_id, None)
        self._publisher.delete(ScheduleProgress, schedule_id)
