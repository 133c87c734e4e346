"""confluent-kafka's errors as ours, chained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from confluent_kafka import KafkaError, KafkaException

from microservo.errors import Fatal, InvalidInput, MicroServoError, Retryable, Unavailable

_UNKNOWN = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)
_REFUSED_INPUT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
    }
)
_ABSENT = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
_PASSING = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._QUEUE_FULL,
        KafkaError._WAIT_COORD,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)


def translate(error: KafkaError, act: str) -> MicroServoError:
    """Our error for one of librdkafka's; `act` says what was tried, as in "read the offsets of a-topic"."""
    if error.fatal():
        return Fatal(f"could not {act}: {error.str()}; a restart makes a new client")
    if error.code() in _UNKNOWN:
        return InvalidInput(
            f"could not {act}: no such topic or partition; `microservo topics ensure` makes ours"
        )
    if error.code() in _REFUSED_INPUT:
        return InvalidInput(f"could not {act}: {error.str()}")
    if error.code() in _ABSENT:
        return Unavailable(f"could not {act}: {error.str()}; is the broker running?")
    if error.retriable() or error.code() in _PASSING:
        return Retryable(f"could not {act} yet: {error.str()}")
    return Fatal(f"could not {act}: {error.name()}: {error.str()}")


@contextlib.contextmanager
def translated(act: str) -> Iterator[None]:
    """Raises our error, chained, for a `KafkaException` within."""
    try:
        yield
    except KafkaException as exc:
        raise translate(exc.args[0], act) from exc
