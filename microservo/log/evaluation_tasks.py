"""Evaluation tasks as they lie on their topics."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker, Message, Partition
from microservo.domain.evaluation_tasks import Tasks
from microservo.errors import InvalidInput
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from
from schemas.catalogue import EVALUATION_REQUESTS, EVALUATION_TASKS
from schemas.codec import SchemaError, decode
from schemas.records import EvaluationRequest, EvaluationTask

TOPICS = (EVALUATION_REQUESTS, EVALUATION_TASKS)
"""Logical names, in the order in which to read them: attempts are at what was asked for."""
_BATCH = 500


def task_record(message: Message) -> EvaluationRequest | EvaluationTask | None:
    """What a message of these topics holds; None where it can't be read."""
    try:
        record = decode(message.value or b"")
    except SchemaError:
        return None
    return record if isinstance(record, EvaluationRequest | EvaluationTask) else None


def read_tasks(broker: Broker, topic_prefix: str = "") -> Tasks:
    """All tasks as they stand; none on a broker from before there were any.

    Raises:
        Retryable: the broker is away for now.
    """
    with FollowedTasks(broker, topic_prefix) as followed:
        return followed.tasks


class FollowedTasks:
    """All tasks as they stand, and as they change.

    Args:
        broker: where they are; one from before there were tasks has none.
        topic_prefix: put before every topic name.

    Attributes:
        tasks: as far as they were read; to the ends of the topics at first.

    Raises:
        Retryable: the broker is away for now.
    """

    def __init__(self, broker: Broker, topic_prefix: str = "") -> None:
        self.tasks = Tasks()
        self._consumer = broker.consumer(group_id=None)
        ends: dict[Partition, int] = {}
        try:
            for topic in TOPICS:
                # A broker from before there were tasks has no such topic.
                with suppress(InvalidInput):
                    ranges = ranges_from(self._consumer, topic_prefix + topic)
                    self._add(read_ranges(self._consumer, ranges, compacted=True))
                    ends |= {partition: end for partition, (_, end) in ranges.items()}
            self._consumer.assign(ends)
        except BaseException:
            self._consumer.close()
            raise

    def poll(self, timeout_s: float) -> None:
        """Reads what comes within `timeout_s` seconds; nothing while the broker is away."""
        self._add(self._consumer.consume(_BATCH, timeout_s))

    def _add(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if (record := task_record(message)) is not None:
                self.tasks.add(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()
