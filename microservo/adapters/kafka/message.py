"""confluent-kafka's message as ours."""

from __future__ import annotations

from typing import cast

import confluent_kafka

from microservo.adapters.broker import Headers, Message


def to_message(raw: confluent_kafka.Message) -> Message:
    """The same message as a value of ours; its time has whole milliseconds only."""
    return Message(
        topic=cast("str", raw.topic()),
        partition=cast("int", raw.partition()),
        offset=cast("int", raw.offset()),
        timestamp_us=raw.timestamp()[1] * 1000,
        key=raw.key(),
        value=raw.value(),
        headers=cast("Headers", tuple(raw.headers() or ())),
    )
