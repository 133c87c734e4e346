"""Evaluation tasks as they lie on their topics."""

from __future__ import annotations

from collections.abc import Iterator

from microservo.adapters.broker import Broker, Message
from microservo.domain.evaluation_tasks import Tasks
from microservo.errors import InvalidInput
from microservo.log.reader import read_topic
from schemas.catalogue import EVALUATION_REQUESTS, EVALUATION_TASKS
from schemas.codec import SchemaError, decode
from schemas.records import EvaluationRequest, EvaluationTask

TOPICS = (EVALUATION_REQUESTS, EVALUATION_TASKS)
"""Logical names, in the order in which to read them: attempts are at what was asked for."""


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
    tasks = Tasks()
    for record in _records(broker, topic_prefix):
        tasks.add(record)
    return tasks


def _records(broker: Broker, topic_prefix: str) -> Iterator[EvaluationRequest | EvaluationTask]:
    for topic in TOPICS:
        try:
            for message in read_topic(broker, topic_prefix + topic):
                if (record := task_record(message)) is not None:
                    yield record
        except InvalidInput:
            # A broker from before there were tasks has no such topic.
            continue
