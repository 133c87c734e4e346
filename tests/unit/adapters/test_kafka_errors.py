from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from microservo.adapters.kafka.errors import translate, translated
from microservo.errors import Fatal, InvalidInput, MicroServoError, Retryable


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, InvalidInput),
        (KafkaError._UNKNOWN_TOPIC, InvalidInput),
        (KafkaError._UNKNOWN_PARTITION, InvalidInput),
        (KafkaError.MSG_SIZE_TOO_LARGE, InvalidInput),
        (KafkaError.TOPIC_EXCEPTION, InvalidInput),
        (KafkaError.INVALID_CONFIG, InvalidInput),
        (KafkaError._TRANSPORT, Retryable),
        (KafkaError._ALL_BROKERS_DOWN, Retryable),
        (KafkaError._RESOLVE, Retryable),
        (KafkaError._TIMED_OUT, Retryable),
        (KafkaError._QUEUE_FULL, Retryable),
        (KafkaError.REBALANCE_IN_PROGRESS, Retryable),
        (KafkaError.ILLEGAL_GENERATION, Retryable),
        (KafkaError.UNKNOWN_MEMBER_ID, Retryable),
        (KafkaError.NOT_COORDINATOR, Retryable),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Fatal),
        (KafkaError._AUTHENTICATION, Fatal),
        (KafkaError._MSG_TIMED_OUT, Fatal),
        (KafkaError._AUTO_OFFSET_RESET, Fatal),
    ],
)
def test_each_foreign_error_has_one_of_ours(code: int, ours: type[MicroServoError]) -> None:
    found = translate(KafkaError(code, "the reason"), "send to orders")
    assert type(found) is ours
    assert "could not send to orders" in str(found)


def test_what_librdkafka_calls_fatal_is_fatal() -> None:
    assert isinstance(translate(KafkaError(KafkaError._TIMED_OUT, "why", fatal=True), "send"), Fatal)


def test_what_librdkafka_calls_retriable_is_retryable() -> None:
    assert isinstance(translate(KafkaError(KafkaError.UNKNOWN, "why", retriable=True), "send"), Retryable)


def test_the_foreign_error_is_chained() -> None:
    foreign = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    with pytest.raises(Retryable) as caught, translated("read"):
        raise foreign
    assert caught.value.__cause__ is foreign
