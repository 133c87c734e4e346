"""confluent-kafka's errors as ours, chained."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from confluent_kafka import KafkaError, KafkaException

from microservo.errors import Fatal, InvalidInput, MicroServoError, Retryable

_log = logging.getLogger(__name__)

_QUIET_S = 10

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
# A client that was connected finds its broker again by itself; one that never was is `connection.verify`'s.
_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
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
    if is_unknown(error):
        return InvalidInput(
            f"could not {act}: no such topic or partition; `microservo topics ensure` makes ours"
        )
    if error.code() in _REFUSED_INPUT:
        return InvalidInput(f"could not {act}: {error.str()}")
    if error.retriable() or error.code() in _PASSING:
        return Retryable(f"could not {act} yet: {error.str()}")
    return Fatal(f"could not {act}: {error.name()}: {error.str()}")


def is_unknown(error: KafkaError) -> bool:
    """Whether the topic or partition is not known: to the broker, or to a client that can't reach it."""
    return error.code() in _UNKNOWN


def is_leaderless(error: KafkaError) -> bool:
    """Whether a partition that is there has no leader for now."""
    return error.code() in {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION}


def is_lasting(error: KafkaError) -> bool:
    """Whether an error that a client reports beside its work can't mend itself, as a lost connection can."""
    return error.fatal() or error.code() in {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }


class ErrorLog:
    """Logs what a client reports while it mends itself, one line in ten seconds at most."""

    def __init__(self) -> None:
        self._quiet_until_s = 0.0

    def __call__(self, error: KafkaError) -> None:
        """Logs the error, or leaves it out."""
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + _QUIET_S
            _log.warning("the Kafka client goes on after: %s", error.str())


@contextlib.contextmanager
def translated(act: str) -> Iterator[None]:
    """Raises our error, chained, for a `KafkaException` within."""
    try:
        yield
    except KafkaException as exc:
        raise translate(exc.args[0], act) from exc
